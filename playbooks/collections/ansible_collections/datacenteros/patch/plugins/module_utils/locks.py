"""Locks of package systems, and which process holds them."""

from __future__ import annotations

import fcntl
import os
import re
import struct

from ansible_collections.datacenteros.patch.plugins.module_utils.deleted_files import group_of

# dnf and zypper write their pid into a file instead of taking a lock.
PID_FILES = ("/var/cache/dnf/metadata_lock.pid", "/var/cache/dnf/download_lock.pid", "/var/lib/dnf/rpmdb_lock.pid")
ZYPPER_PID_FILE = "/run/zypp.pid"
# As the kernel reads it: kind, origin, start, length, process.
FLOCK = "hhqqi4x"
# How long others are waited for. What a timer starts ends by itself, and takes as long as an update of the whole host.
PATIENCE_SECONDS = 120
SCHEDULED_PATIENCE_SECONDS = 900
SCHEDULED_UNITS = re.compile(r"(apt-daily|unattended-upgrades|dnf-automatic|dnf-makecache|packagekit|yum-cron)")
SCHEDULED_COMMANDS = ("apt.systemd.daily", "unattended-upgrade", "dnf-automatic")
LONGEST_COMMAND = 200


def lock_holder(paths, proc="/proc"):
    """Which lock another process holds, and the process; `None` when all locks are free."""
    for path in paths:
        pid = _holder(path)
        if pid is not None:
            return _described(path, pid, proc)
    for path in (*PID_FILES, ZYPPER_PID_FILE):
        pid = _read(path).strip()
        command = _read(os.path.join(proc, pid, "cmdline")) if pid.isdigit() else ""
        # PackageKit and YaST hold the lock of zypper, too.
        if command and (path == ZYPPER_PID_FILE or "dnf" in command):
            return _described(path, int(pid), proc)
    return None


def is_scheduled(holder):
    """Whether a timer of the host has started the holder, so that it is worth to wait for longer."""
    return bool(SCHEDULED_UNITS.match(holder["unit"])) or any(part in holder["command"] for part in SCHEDULED_COMMANDS)


def patience(holder):
    return SCHEDULED_PATIENCE_SECONDS if is_scheduled(holder) else PATIENCE_SECONDS


def _holder(path):
    """The process that holds a lock of the file; 0 if the kernel does not name it, `None` without a lock."""
    try:
        with open(path, "rb") as file:
            wanted = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _origin, _start, _length, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    except OSError:
        return None
    return None if kind == fcntl.F_UNLCK else max(pid, 0)


def _described(path, pid, proc):
    folder = os.path.join(proc, str(pid))
    process = _read(os.path.join(folder, "comm")).strip() if pid else ""
    command = _read(os.path.join(folder, "cmdline")).replace("\0", " ").strip() if pid else ""
    # A proxy or a repository may be given with its password.
    command = " ".join(re.sub(r"//[^/@\s]*@", "//", command).split())[:LONGEST_COMMAND]
    _kind, unit = group_of(_read(os.path.join(folder, "cgroup"))) if pid else ("", "")
    holder = {"path": path, "pid": pid or None, "process": process, "command": command, "unit": unit}
    return {**holder, "text": _text(holder)}


def _text(holder):
    if not holder["pid"]:
        return "a process outside this host"
    unit = ", {0}".format(holder["unit"]) if holder["unit"] else ""
    command = ": {0}".format(holder["command"]) if holder["command"] else ""
    return "`{0}` (process {1}{2}{3})".format(holder["process"] or "unknown", holder["pid"], unit, command)


def _read(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""
