# What the layers of rpm-based hosts share.

# build_layer BUILD NAME FUNCTION: makes the layer NAME over the Debian with FUNCTION, which gets BUILD and the mounted root.
build_layer() {
    local build=$1 name=$2 make=$3 root=$1/$2.mounted
    mkdir -p "$build/$name" "$build/$name.work" "$root"
    mount -t overlay overlay -o "lowerdir=$build/debian,upperdir=$build/$name,workdir=$build/$name.work" "$root"
    mount -t proc proc "$root/proc"
    "$make" "$build" "$root"
    hide_debian "$root"
    umount "$root/proc" "$root"
    rm -rf "$root" "$build/$name.work"
}

# Installs programs from Debian's packages, and removes the laboratory's packages: in these layers they are rpms.
install_tools() {
    local root=$1 list=$1/etc/apt/sources.list.d/fleet.list
    shift
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    cp /etc/hosts "$root/etc/hosts"
    # mmdebstrap checked the mirror's signature with the machine's keys. Here the keys of the root are enough.
    echo "deb $mirror bookworm main" >"$list"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # shellcheck disable=SC2046
    inside "$root" dpkg --purge $(inside "$root" dpkg-query -W -f '${Maintainer}\t${Package}\n' |
        awk -F '\t' '/^Fleet/ { print $2 }') >/dev/null
    inside "$root" apt-get -qq update
    inside "$root" apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install "$@" >/dev/null
    inside "$root" apt-get -qq clean
    rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf" "$root/etc/hosts" "$list"
}

# Gives the system the identity that is the input.
name_system() {
    local root=$1
    rm -f "$root/etc/os-release" "$root/usr/lib/os-release" "$root/etc/debian_version"
    cat >"$root/usr/lib/os-release"
    ln -s ../usr/lib/os-release "$root/etc/os-release"
}

# Whether hosts have the repository of this suite enabled: 1 or 0.
is_enabled() {
    case $1 in slow | broken) echo 0 ;; *) echo 1 ;; esac
}

# Hides Debian's package manager from tools that look for it.
hide_debian() {
    local root=$1 program
    mkdir -p "$root/usr/lib/fleet/debian"
    for program in "$root"/usr/bin/{apt,apt-*,dpkg,dpkg-*}; do
        [ ! -e "$program" ] || mv "$program" "$root/usr/lib/fleet/debian/"
    done
    rm -rf "$root/etc/apt/sources.list.d"
}
