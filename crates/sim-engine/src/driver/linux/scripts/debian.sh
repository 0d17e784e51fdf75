# The lower layer of every host: a small Debian with systemd as init, sshd, and the laboratory packages.

build_debian() {
    local build=$1 root=$1/debian trim
    trim=$(printf -- '--dpkgopt=path-exclude=/usr/share/%s/* ' man locale doc info)
    # shellcheck disable=SC2086
    mmdebstrap --quiet --variant=apt --dpkgopt=force-unsafe-io $trim --format=directory \
        --include=systemd-sysv,dbus,python3,python3-apt,openssh-server,sudo,procps,iproute2,mount,chrony,busybox \
        bookworm "$root" "$mirror"
    install -D -m 755 "$here/fault" "$root/usr/lib/fleet/fault"
    configure_access "$root"
    install_debian_packages "$build" "$root"
    disable_units "$root"
}

# SSH access. Each host gets its own keys.
configure_access() {
    local root=$1
    inside "$root" useradd --create-home --shell /bin/bash --password '*' patch
    echo 'patch ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/patch"
    chmod 440 "$root/etc/sudoers.d/patch"
    rm -f "$root"/etc/ssh/ssh_host_*
    cat >"$root/etc/ssh/sshd_config.d/fleet.conf" <<'CONFIG'
# A controller connects with two dozen forks at once.
MaxStartups 60:30:100
MaxSessions 50
UseDNS no
UsePAM no
PrintMotd no
PasswordAuthentication no
AuthorizedKeysFile /etc/ssh/fleet_authorized_keys .ssh/authorized_keys
HostKey /etc/ssh/ssh_host_ed25519_key
CONFIG
}

install_debian_packages() {
    local build=$1 root=$2 suite
    install -D -m 644 "$build/repository/archive.gpg" "$root/etc/apt/keyrings/fleet.gpg"
    rm -f "$root/etc/apt/sources.list"
    mkdir -p "$root/srv/repository"
    mount --bind "$build/repository" "$root/srv/repository"
    echo "deb [signed-by=/etc/apt/keyrings/fleet.gpg] file:/srv/repository/apt fleet-main main" >"$root/etc/apt/sources.list.d/fleet.list"
    inside "$root" apt-get -qq update
    inside "$root" apt-get -qq -y -o Dpkg::Use-Pty=0 install openssl curl nginx haproxy postgresql-15 redis-server \
        linux-image-amd64 api demo-tools demo-kernel demo-slow demo-broken >/dev/null
    umount "$root/srv/repository"
    rmdir "$root/srv/repository"
    for suite in main security updates; do
        echo "deb [signed-by=/etc/apt/keyrings/fleet.gpg] http://repository.fleet:8077/apt fleet-$suite main"
    done >"$root/etc/apt/sources.list.d/fleet.list"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
}

# Disables what needs hardware, the internet or its own clock.
disable_units() {
    local root=$1 unit
    for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
        getty@tty1.service console-getty.service e2scrub_reap.service e2scrub_all.timer fstrim.timer apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer systemd-ask-password-console.path systemd-ask-password-wall.path \
        systemd-timesyncd.service systemd-networkd.service systemd-resolved.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    inside "$root" systemctl enable ssh.service chrony.service >/dev/null 2>&1
    # All hosts have the machine's clock: chronyd reports it as synchronised and does not change it.
    mkdir -p "$root/etc/systemd/system/chrony.service.d" "$root/etc/systemd/journald.conf.d"
    printf '[Unit]\nConditionCapability=\n' >"$root/etc/systemd/system/chrony.service.d/fleet.conf"
    echo 'DAEMON_OPTS="-x -F 0"' >"$root/etc/default/chrony"
    printf 'local stratum 10\nport 0\ndriftfile /var/lib/chrony/chrony.drift\n' >"$root/etc/chrony/chrony.conf"
    printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n' >"$root/etc/systemd/journald.conf.d/fleet.conf"
    # The disk is deleted with its host, so there is no need to wait for the platter.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fleet"
    rm -f "$root/etc/fstab"
    : >"$root/etc/machine-id"
}
