# The layer that turns the Debian below it into a RHEL-like host: dnf, a package database of our rpms, and the files that
# identify such a system. The kernel and the userland do not change.

build_rocky() {
    local build=$1
    build_layer "$build" rocky make_rocky
}

make_rocky() {
    local build=$1 root=$2
    install_tools "$root" dnf python3-dnf rpm dnf-plugins-core
    install_rocky_packages "$build" "$root"
    name_rocky "$root"
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
        printf '[fleet-%s]\nname=Fleet %s\nbaseurl=http://repository.fleet:8077/rpm/%s\nenabled=%s\ngpgcheck=0\nmetadata_expire=1\n\n' \
            "$suite" "$suite" "$suite" "$(is_enabled "$suite")"
    done >"$root/etc/yum.repos.d/fleet.repo"
}

name_rocky() {
    local root=$1
    name_system "$root" <<'RELEASE'
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
    echo 'Rocky Linux release 9.4 (laboratory)' >"$root/etc/rocky-release"
    ln -sf rocky-release "$root/etc/redhat-release"
    ln -sf rocky-release "$root/etc/system-release"
    mkdir -p "$root/usr/libexec"
    ln -sf /usr/bin/python3 "$root/usr/libexec/platform-python"
    printf '#!/bin/sh\nexec dnf needs-restarting "$@"\n' >"$root/usr/bin/needs-restarting"
    chmod 755 "$root/usr/bin/needs-restarting"
}
