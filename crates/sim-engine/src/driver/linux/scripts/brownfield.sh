#!/bin/bash
# brownfield.sh CACHE IMAGES: builds once a host as a site has it, and prints its folder as the last line:
#   debian/              Debian with the packages of its last point release, none of them ours: all updates since then are pending
#   repository/          a local copy of what these updates need: indexes of Debian's suites, signed by a key of the laboratory,
#                        with the pending packages, and the installed versions of the same packages for the
#                        way back; and `sources`, the index of sources of the security suite: the feed of advisories for these hosts
# IMAGES is the folder of `images.sh`, whose repository also serves this one, as /brownfield.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(mkdir -p "$1" && cd "$1" && pwd)
images=$cache/brownfield-$(cat "$here"/{brownfield,common,debian}.sh | sha256sum | cut -c1-16)
served=$2/repository/brownfield

if [ "${FLEET_IMAGES_LOCKED:-}" != brownfield ]; then
    if [ ! -e "$images/complete" ]; then
        for program in mmdebstrap gpg unshare python3; do
            command -v "$program" >/dev/null || { echo "\`$program\` is missing" >&2; exit 3; }
        done
        # In a mount namespace, so that mounts end with this shell even if it is killed.
        exec 9>"$cache/lock"
        flock --timeout 1800 9 || { echo "timed out waiting for another build of the images" >&2; exit 1; }
        FLEET_IMAGES_LOCKED=brownfield unshare --mount --propagation private bash "$here/brownfield.sh" "$cache" "$2" >/dev/null
    fi
    ln -sfn "$images/repository" "$served"
    echo "$images"
    exit
fi

[ ! -e "$images/complete" ] || exit 0
build=$images.part
rm -rf "$build" "$images"
mkdir -p "$build/repository/pool"

# shellcheck source=common.sh
. "$here/common.sh"
# shellcheck source=debian.sh
. "$here/debian.sh"
mirror=${PATCH_FLEET_MIRROR:-$(mirror_of main)}
security=${PATCH_FLEET_SECURITY_MIRROR:-$(mirror_of security)}
[ -n "$mirror" ] || { echo "apt has no Debian mirror configured; set PATCH_FLEET_MIRROR" >&2; exit 3; }
[ -n "$security" ] || { echo "apt has no mirror of Debian's security archive configured; set PATCH_FLEET_SECURITY_MIRROR" >&2; exit 3; }

# What a host is made of: the services of a small web server, and a kernel with its metapackage.
make_root() {
    local root=$1 trim
    trim=$(printf -- '--dpkgopt=path-exclude=/usr/share/%s/* ' man locale doc info)
    # shellcheck disable=SC2086
    mmdebstrap --quiet --variant=important --dpkgopt=force-unsafe-io $trim --format=directory \
        --include=systemd-sysv,dbus,libpam-systemd,python3,python3-apt,openssh-server,sudo,cron,chrony,nginx-light,rsync,curl,bind9-dnsutils,postgresql-client,unattended-upgrades,needrestart,linux-image-cloud-amd64 \
        bookworm "$root" "$mirror"
    configure_access "$root"
    disable_units "$root"
    # Only the platform installs anything.
    ln -sf /dev/null "$root/etc/systemd/system/unattended-upgrades.service"
}

# Asks the real archive what is pending, and downloads it.
fetch_updates() {
    local root=$1 work=$2 suite
    mkdir -p "$work"
    cp /etc/resolv.conf /etc/hosts "$work"
    mount --bind "$work/resolv.conf" "$(touch "$root/etc/resolv.conf"; echo "$root/etc/resolv.conf")"
    mount --bind "$work/hosts" "$(touch "$root/etc/hosts"; echo "$root/etc/hosts")"
    mkdir -p "$root/srv/work"
    mount --bind "$work" "$root/srv/work"
    rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
    {
        for suite in bookworm bookworm-updates; do echo "deb $mirror $suite main"; done
        echo "deb $security bookworm-security main"
        echo "deb-src $security bookworm-security main"
    } >"$root/etc/apt/sources.list"
    inside "$root" apt-get -qq update
    mkdir -p "$work/new/partial" "$work/old"
    inside "$root" apt-get -qq -y -o APT::Sandbox::User=root --download-only -o Dir::Cache::archives=/srv/work/new dist-upgrade >/dev/null
    # The installed versions of the same packages. One that no mirror has any more cannot be installed again.
    inside "$root" sh -c 'apt list --upgradable 2>/dev/null | sed -n "s/^\([^/]*\)\/.*upgradable from: \(.*\)\]$/\1=\2/p"' >"$work/installed"
    while read -r package; do
        (cd "$work/old" && inside "$root" sh -c "cd /srv/work/old && apt-get -qq -o APT::Sandbox::User=root download '$package'") || echo "$package is no longer in the archive" >&2
    done <"$work/installed"
    for suite in bookworm bookworm-updates bookworm-security; do
        inside "$root" sh -c "/usr/lib/apt/apt-helper cat-file \$(apt-get indextargets --format '\$(FILENAME)' 'Created-By: Packages' 'Codename: $suite')" >"$work/$suite.packages"
        inside "$root" sh -c "cat /var/lib/apt/lists/*_dists_${suite}_InRelease" >"$work/$suite.release"
    done
    inside "$root" sh -c "/usr/lib/apt/apt-helper cat-file \$(apt-get indextargets --format '\$(FILENAME)' 'Created-By: Sources')" >"$build/repository/sources"
    umount "$root/srv/work" "$root/etc/resolv.conf" "$root/etc/hosts"
    rm -rf "$root/srv/work" "$root/etc/resolv.conf" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
}

# A repository with the suites of Debian, as far as their packages were downloaded.
make_repository() {
    local work=$1 keys=$2 suite folder
    make_signing_key "$keys" "$build/archive.gpg"
    for suite in bookworm bookworm-updates bookworm-security; do
        folder=$build/repository/dists/$suite
        mkdir -p "$folder/main/binary-amd64"
        python3 - "$work" "$suite" "$build/repository" >"$folder/main/binary-amd64/Packages" <<'PYTHON'
import os, shutil, sys
from urllib.parse import unquote
work, suite, repository = sys.argv[1:]
# A downloaded file is NAME_VERSION_ARCHITECTURE.deb, with the epoch escaped.
files = {}
for folder in ("new", "old"):
    for name in os.listdir(os.path.join(work, folder)):
        if name.endswith(".deb"):
            files[tuple(unquote(name[:-4]).split("_"))] = os.path.join(work, folder, name)
with open(os.path.join(work, suite + ".packages"), encoding="utf-8") as index:
    for stanza in index.read().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        key = tuple(fields.get(name, "") for name in ("Package", "Version", "Architecture"))
        if key in files:
            place = os.path.join(repository, fields["Filename"])
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(files[key], place)
            print(stanza + "\n")
PYTHON
        gzip -9kf "$folder/main/binary-amd64/Packages"
        {
            # As the archive names the suite: policies and pins read these fields.
            grep -E '^(Origin|Label|Suite|Version|Codename|Description):' "$work/$suite.release"
            printf 'Architectures: amd64\nComponents: main\n'
        } | sign_suite "$keys" "$folder"
    done
    end_signing "$keys"
}

make_root "$build/debian"
fetch_updates "$build/debian" "$build/work"
make_repository "$build/work" "$build/keys"
install -D -m 644 "$build/archive.gpg" "$build/debian/etc/apt/keyrings/fleet.gpg"
rm -f "$build/debian/etc/apt/sources.list"
for suite in bookworm bookworm-updates bookworm-security; do
    echo "deb [signed-by=/etc/apt/keyrings/fleet.gpg] http://repository.fleet:8077/brownfield $suite main"
done >"$build/debian/etc/apt/sources.list.d/debian.list"
rm -rf "$build/work" "$build/keys"
mv "$build" "$images"
touch "$images/complete"
