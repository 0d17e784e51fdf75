# One image for the whole platform: `patchctl`, the four services, and the Ansible that works on hosts. The plain syntax
# is deliberate: the engine of Debian 12 builds it with BuildKit and without.

# A tag may mean another image tomorrow. A release names each by its digest: `--build-arg RUST_IMAGE=rust@sha256:...`.
ARG RUST_IMAGE=rust:1.95-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS manifests
WORKDIR /source
COPY . .
# Every crate as an empty shell. What follows sees a change here when a manifest changes, not with every source file.
RUN find crates -type f ! -name Cargo.toml -delete \
    && find crates -mindepth 2 -type d -empty -delete \
    && for crate in crates/*; do \
        mkdir "$crate/src" && touch "$crate/src/lib.rs" && echo 'fn main() {}' > "$crate/src/main.rs" || exit 1; \
    done \
    && rm -rf .sqlx migrations playbooks seeds

FROM ${RUST_IMAGE} AS build
# `dev` builds in a quarter of the time, for trials: `docker build --build-arg CARGO_PROFILE=dev .`
ARG CARGO_PROFILE=release
WORKDIR /source
# Queries are checked against the committed .sqlx. Backtraces keep the names of functions and lose the lines.
ENV SQLX_OFFLINE=true \
    CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_DEV_DEBUG=none
COPY --from=manifests /source .
# The dependencies alone: a layer that is built once and serves until Cargo.lock changes.
RUN cargo build --profile "$CARGO_PROFILE" --locked -p patchctl -p patch-manager -p cmdb -p itsm -p sim-engine \
    && rm -rf crates
COPY . .
# Copied files keep their old times, by which cargo would take the shells for newer.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --profile "$CARGO_PROFILE" --locked -p patchctl -p patch-manager -p cmdb -p itsm -p sim-engine \
    && mkdir /programs \
    && for program in patchctl patch-manager cmdb itsm sim-engine; do \
        cp target/*/"$program" /programs/ || exit 1; \
    done

FROM ${DEBIAN_IMAGE} AS ansible
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates python3-venv
COPY playbooks/requirements.txt /tmp/requirements.txt
# Nothing is ever installed into the finished image, so its installers stay behind.
RUN python3 -m venv /opt/ansible \
    && /opt/ansible/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt \
    && /opt/ansible/bin/pip uninstall --yes setuptools pip
COPY playbooks /usr/share/patch-manager/playbooks
# A checkout under a strict umask would be readable to root alone.
RUN chmod -R go=rX /usr/share/patch-manager

FROM ${DEBIAN_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates openssh-client python3 \
    && rm -rf /var/lib/apt/lists/*
# The number is fixed, so that the owner of a volume stays the same from image to image.
RUN groupadd --gid 10001 patch \
    && useradd --uid 10001 --gid patch --no-create-home --home-dir /var/lib/patch-manager --shell /usr/sbin/nologin patch \
    && install -d -o patch -g patch -m 0700 /var/lib/patch-manager /var/lib/patch-manager/work
COPY --from=ansible /opt/ansible /opt/ansible
COPY --from=ansible /usr/share/patch-manager /usr/share/patch-manager
COPY --from=build /programs /usr/local/bin
ENV PATCH_ANSIBLE_PLAYBOOK=/opt/ansible/bin/ansible-playbook \
    PATCH_PLAYBOOKS=/usr/share/patch-manager/playbooks
USER patch
WORKDIR /var/lib/patch-manager
CMD ["patchctl", "--help"]
