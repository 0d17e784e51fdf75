# The layer that turns the Debian below it into a host like openSUSE Leap: zypper, a package database of our rpms, and the files
# that identify such a system.

build_leap() {
    local build=$1
    build_layer "$build" leap make_leap
}

make_leap() {
    local build=$1 root=$2
    install_tools "$root" zypper rpm
    name_leap "$root"
    install_leap_packages "$build" "$root"
}

install_leap_packages() {
    local build=$1 root=$2 suite
    mkdir -p "$root/etc/rpm" "$root/etc/zypp/repos.d" "$root/srv/repository"
    printf '%%_dbpath /var/lib/rpm\n' >"$root/etc/rpm/macros.fleet"
    # As on SUSE: several kernels are installed side by side.
    printf '[main]\nmultiversion = provides:multiversion(kernel)\nmultiversion.kernels = latest,latest-1,running\n' >"$root/etc/zypp/zypp.conf"
    mount --bind "$build/repository" "$root/srv/repository"
    inside "$root" rpm --initdb
    inside "$root" zypper --quiet --non-interactive addrepo --no-gpgcheck file:///srv/repository/leap/main build
    inside "$root" zypper --quiet --non-interactive refresh
    inside "$root" zypper --quiet --non-interactive install --no-recommends fleet-userland openssl libopenssl3 \
        curl nginx sudo kernel-default api demo-tools demo-kernel demo-slow \
        demo-broken >/dev/null
    inside "$root" zypper --quiet --non-interactive removerepo build
    umount "$root/srv/repository"
    rmdir "$root/srv/repository"
    rm -rf "$root"/var/cache/zypp/* "$root"/var/log/zypp*
    for suite in main security updates slow broken; do
        printf '[fleet-%s]\nname=Fleet %s\nbaseurl=http://repository.fleet:8077/leap/%s\nenabled=%s\nautorefresh=1\ngpgcheck=0\n' \
            "$suite" "$suite" "$suite" "$(is_enabled "$suite")" >"$root/etc/zypp/repos.d/fleet-$suite.repo"
    done
}

name_leap() {
    local root=$1
    name_system "$root" <<'RELEASE'
NAME="openSUSE Leap"
VERSION="15.6 (laboratory)"
ID="opensuse-leap"
ID_LIKE="suse opensuse"
VERSION_ID="15.6"
PRETTY_NAME="openSUSE Leap 15.6 (laboratory)"
CPE_NAME="cpe:/o:opensuse:leap:15.6"
RELEASE
}
