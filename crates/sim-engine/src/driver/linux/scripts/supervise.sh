#!/bin/bash
# supervise.sh HOST: runs one host from power-on to power-off, with any number of reboots.
#
# HOST is the host's folder, with its settings in HOST/settings. This script runs in its own cgroup, mount namespace and
# network namespace, so that mounts and network interfaces end with it. File descriptor 9 is the machine's network
# namespace. It is detached from the sim-engine, which may stop and start again in the meantime.
set -euo pipefail
host=$1
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# name, lower, cgroup, link, mac, bridge, address, prefix, gateway
. "$host/settings"

machine_ip() { nsenter --net=/proc/self/fd/9 ip "$@"; }

record_end() { echo "$1" >"$host/ended.new" && mv "$host/ended.new" "$host/ended"; }

connect() {
    # The kernel may not have removed the interface of the previous run yet.
    machine_ip link delete "$link" 2>/dev/null || true
    # The hardware address is always the same, so that the ARP caches of neighbours stay valid.
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
    # Fill the disk again if its fault is still there.
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
    # reboot(2) in a pid namespace ends its first process by a signal: 1 for a reboot, 2 for a power-off.
    case $code in
    129) continue ;;
    130) record_end off ;;
    *) record_end "failed: its first process ended with $code" ;;
    esac
    exit
done
