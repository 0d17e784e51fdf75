# The layer that turns the Debian below it into a RHEL-like host: dnf and rpm, a package database of our rpms, and the files
# that identify such a system. The kernel and the userland do not change.

build_rocky() {
    local build=$1 root=$1/rocky.mounted
    mkdir -p "$build/rocky" "$build/rocky.work" "$root"
    mount -t overlay overlay -o "lowerdir=$build/debian,upperdir=$build/rocky,workdir=$build/rocky.work" "$root"
    mount -t proc proc "$root/proc"
    install_dnf "$root"
    install_rocky_packages "$build" "$root"
    name_rocky "$root"
    hide_debian "$root"
    umount "$root/proc" "$root"
    rm -rf "$root" "$build/rocky.work"
}

install_dnf() {
    local root=$1
    cp "$root/etc/apt/sources.list.d/fleet.list" "$build/fleet.list"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    cp /etc/hosts "$root/etc/hosts"
    # mmdebstrap checked the mirror's signature with the machine's keys. Here the keys of the root are enough.
    echo "deb $mirror bookworm main" >"$root/etc/apt/sources.list.d/fleet.list"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    # Here the laboratory's packages are rpms.
    # shellcheck disable=SC2046
    inside "$root" dpkg --purge $(inside "$root" dpkg-query -W -f '${Maintainer}\t${Package}\n' |
        awk -F '\t' '/^Fleet/ { print $2 }') >/dev/null
    inside "$root" apt-get -qq update
    inside "$root" apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install dnf python3-dnf rpm dnf-plugins-core >/dev/null
    inside "$root" apt-get -qq clean
    rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf" "$root/etc/hosts" \
        "$root/etc/apt/sources.list.d/fleet.list" "$build/fleet.list"
}

install_rocky_packages() {
    local build=$1 root=$2 suite
    mkdir -p "$root/etc/rpm" "$root/etc/yum.repos.d" "$root/etc/dnf/vars" "$root/srv/repository"
    # Debian's rpm has its database in the caller's home by default.
    printf '%%_dbpath /var/lib/rpm\n%%dist .el9\n' >"$root/etc/rpm/macros.fleet"
    echo 9 >"$root/etc/dnf/vars/releasever"
    printf '[main]\ngpgcheck=0\ninstallonly_limit=3\ninstallonlypkgs=\nclean_requirements_on_remove=True\nbest=False\nreposdir=/etc/yum.repos.d\n' \
        >"$root/etc/dnf/dnf.conf"
    mount --bind "$build/repository" "$root/srv/repository"
    [ ! -e "$root/etc/dnf/plugins/local.conf" ] || printf '[main]\nenabled = 0\n' >"$root/etc/dnf/plugins/local.conf"
    inside "$root" rpm --initdb
    inside "$root" dnf -q -y --repofrompath=build,file:///srv/repository/rpm/main --repo=build install fleet-userland \
        openssl openssl-libs curl libcurl nginx haproxy postgresql-server redis sudo systemd openssh openssh-server \
        kernel api demo-tools demo-kernel demo-slow demo-broken >/dev/null
    umount "$root/srv/repository"
    rmdir "$root/srv/repository"
    rm -rf "$root"/var/cache/dnf/* "$root"/var/log/dnf*
    for suite in main security updates slow broken; do
        local enabled=1
        case $suite in slow | broken) enabled=0 ;; esac
        printf '[fleet-%s]\nname=Fleet %s\nbaseurl=http://repository.fleet:8077/rpm/%s\nenabled=%s\ngpgcheck=0\nmetadata_expire=1\n\n' \
            "$suite" "$suite" "$suite" "$enabled"
    done >"$root/etc/yum.repos.d/fleet.repo"
}

name_rocky() {
    local root=$1
    rm -f "$root/etc/os-release" "$root/usr/lib/os-release" "$root/etc/debian_version"
    cat >"$root/usr/lib/os-release" <<'RELEASE'
NAME="Rocky Linux"
VERSION="9.4 (laboratory)"
ID="rocky"
ID_LIKE="rhel centos fedora"
VERSION_ID="9.4"
PLATFORM_ID="platform:el9"
PRETTY_NAME="Rocky Linux 9.4 (laboratory)"
REDHAT_SUPPORT_PRODUCT="Rocky Linux"
REDHAT_SUPPORT_PRODUCT_VERSION="9.4"
RELEASE
    ln -s ../usr/lib/os-release "$root/etc/os-release"
    echo 'Rocky Linux release 9.4 (laboratory)' >"$root/etc/rocky-release"
    ln -sf rocky-release "$root/etc/redhat-release"
    ln -sf rocky-release "$root/etc/system-release"
    mkdir -p "$root/usr/libexec"
    ln -sf /usr/bin/python3 "$root/usr/libexec/platform-python"
    printf '#!/bin/sh\nexec dnf needs-restarting "$@"\n' >"$root/usr/bin/needs-restarting"
    chmod 755 "$root/usr/bin/needs-restarting"
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
