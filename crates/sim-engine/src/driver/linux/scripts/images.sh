#!/bin/bash
# images.sh CACHE: builds once what all fleets of a machine share, and prints its folder as the last line:
#   repository/          a signed apt repository and rpm repositories with advisories, with our own small packages
#   debian/              a small Debian with systemd and sshd, the lower layer of every host
#   rocky/               the upper layer of RHEL-like hosts
#   leap/                the upper layer of SUSE-like hosts
# The name of the folder is a hash of the scripts, so that each version of them has its own images.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(mkdir -p "$1" && cd "$1" && pwd)
images=$cache/$(cat "$here"/{images,common,packages,debian,layers,rocky,leap}.sh "$here"/fault | sha256sum | cut -c1-16)

if [ "${FLEET_IMAGES_LOCKED:-}" != yes ]; then
    [ ! -e "$images/complete" ] || { echo "$images"; exit; }
    for program in mmdebstrap createrepo_c modifyrepo_c rpmbuild dpkg-scanpackages gpg unshare; do
        command -v "$program" >/dev/null || { echo "\`$program\` is missing" >&2; exit 3; }
    done
    # In a mount namespace, so that mounts end with this shell even if it is killed.
    exec 9>"$cache/lock"
    flock --timeout 1800 9 || { echo "timed out waiting for another build of the images" >&2; exit 1; }
    FLEET_IMAGES_LOCKED=yes exec unshare --mount --propagation private bash "$here/images.sh" "$cache"
fi

[ ! -e "$images/complete" ] || { echo "$images"; exit; }
build=$images.part
rm -rf "$build" "$images"
mkdir -p "$build/repository" "$build/packages"
# shellcheck source=common.sh
. "$here/common.sh"
mirror=${PATCH_FLEET_MIRROR:-$(mirror_of main)}
[ -n "$mirror" ] || { echo "apt has no Debian mirror configured; set PATCH_FLEET_MIRROR" >&2; exit 3; }

# shellcheck source=packages.sh
. "$here/packages.sh"
# shellcheck source=debian.sh
. "$here/debian.sh"
# shellcheck source=layers.sh
. "$here/layers.sh"
# shellcheck source=rocky.sh
. "$here/rocky.sh"
# shellcheck source=leap.sh
. "$here/leap.sh"
build_packages "$build"
build_debian "$build"
build_rocky "$build"
build_leap "$build"
rm -rf "$build/packages"
mv "$build" "$images"
touch "$images/complete"
echo "$images"
