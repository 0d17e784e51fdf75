#!/bin/bash
# boot.sh HOST: the first process of a host, in new namespaces. It creates the root file system and becomes init.
set -euo pipefail
host=$1
# name, lower, cgroup, link, bridge, address, prefix, gateway
. "$host/settings"
root=$host/root

mount --make-rprivate /
mkdir -p "$root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$host/mounted/upper,workdir=$host/mounted/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,size=64m tmpfs "$root/run"
mount -t tmpfs -o mode=1777,size=128m tmpfs "$root/tmp"

mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
mkdir -p "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
while read -r device major minor; do
    mknod -m 666 "$root/dev/$device" c "$major" "$minor"
done <<'DEVICES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
ln -s null "$root/dev/console"

# The host must not change the settings of the kernel or trigger its emergency keys: it is the machine's kernel.
for path in sys sysrq-trigger; do
    [ -e "$root/proc/$path" ] || continue
    mount --bind "$root/proc/$path" "$root/proc/$path"
    mount -o remount,bind,ro "$root/proc/$path"
done
cp "$host/boot_id" "$root/run/.boot_id"
mount --bind "$root/run/.boot_id" "$root/proc/sys/kernel/random/boot_id"
mkdir -p "$root/run/fleet-faults"
mount --bind "$host/faults" "$root/run/fleet-faults"

# The kernel and systemd accept no `_` in a host name.
hostname "${name//_/-}"
mkdir -p "$root/.machine"
cd "$root"
pivot_root . .machine
exec chroot . /bin/sh -c 'umount -l /.machine; rmdir /.machine
    exec env -i container=fleet PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog --inh-caps=-sys_module,-sys_time,-sys_rawio,-syslog /sbin/init'
