#!/bin/bash
# supervise.sh HOST: one host, from power-on to power-off, however often it reboots in between.
#
# HOST is the host's folder. It runs in a control group, a mount and a network namespace of its own, so that mounts and
# network interfaces end with it, and file descriptor 9 is the machine's network namespace. It belongs to nobody: the
# sim-engine may end and come back meanwhile. What it was told is in HOST/settings.
set -euo pipefail
host=$1
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# name, lower, cgroup, link, mac, bridge, address, prefix, gateway
. "$host/settings"

machine_ip() { nsenter --net=/proc/self/fd/9 ip "$@"; }

ended() { echo "$1" >"$host/ended.new" && mv "$host/ended.new" "$host/ended"; }

connect() {
    # The interface of a life before may still be on its way out.
    machine_ip link delete "$link" 2>/dev/null || true
    # Its hardware address is that of its last life too: neighbours go on knowing it.
    machine_ip link add "$link" type veth peer name eth0 address "$mac" netns $$
    machine_ip link set "$link" master "$bridge"
    [ -e "$host/cut" ] || machine_ip link set "$link" up
    exec 9<&-
    ip link set lo up
    ip address add "$address/$prefix" dev eth0
    ip link set eth0 up
    ip route add default via "$gateway"
}

attach_disk() {
    mkdir -p "$host/mounted"
    mount -o loop,noatime "$host/disk" "$host/mounted"
    # A disk that is to be full is; what filled it in another life goes.
    rm -f "$host/mounted/ballast"
    [ ! -e "$host/full" ] || bash "$scripts/fill.sh" "$host/mounted"
}

rm -f "$host/ended"
connect
attach_disk
while :; do
    cat /proc/sys/kernel/random/uuid >"$host/boot_id.new" && mv "$host/boot_id.new" "$host/boot_id"
    now=$(cut -d. -f1 /proc/uptime)
    code=0
    (
        echo $BASHPID >"$cgroup/guest/cgroup.procs"
        exec unshare --mount --pid --uts --ipc --cgroup --time --boottime "-$now" --monotonic "-$now" --fork --kill-child \
            bash "$scripts/boot.sh" "$host"
    ) </dev/null || code=$?
    # reboot(2) in a pid namespace ends its first process by a signal: 1 asks for another life, 2 for none.
    case $code in
    129) continue ;;
    130) ended off ;;
    *) ended "failed: its first process ended with $code" ;;
    esac
    exit
done
