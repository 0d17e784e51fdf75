"""Which processes still run files that an update has replaced, and which services they belong to.

The kernel marks a mapped file that is gone from its folder with ` (deleted)`. The platform decides what follows; this
module does not.
"""

from __future__ import annotations

import os
import re

# Where packages install what is executed. Memory files, `/dev/shm`, `/tmp` and System V memory are data or made at run time.
FOLDERS = ("/usr/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/bin/", "/sbin/", "/opt/")
DELETED = " (deleted)"
# Names that dpkg and rpm give a file while they replace it.
TEMPORARY = re.compile(r"(\.dpkg-(new|tmp)|;[0-9a-f]{8})\Z")
# A unit of `sshd@` or `ssh@` is one connection.
LOGIN = re.compile(r"(session-.*\.scope|user@.*\.service|sshd?@.*\.service)\Z")
MOST_FILES = 10


def stale_services(proc="/proc", own=None):
    """`{"state": "checked", "services": [...]}`, or `failed` with the reason if not all processes can be read.

    The connection of the process `own` does not count: it ends with the work on the host.
    """
    connection = connection_of(proc, str(own or os.getpid()))
    groups, refused = {}, 0
    try:
        pids = sorted((name for name in os.listdir(proc) if name.isdigit()), key=int)
    except OSError as error:
        return {"state": "failed", "reason": "{0} cannot be read: {1}".format(proc, error.strerror)}
    for pid in pids:
        if pid in connection:
            continue
        folder = os.path.join(proc, pid)
        try:
            files = deleted_files(_read(os.path.join(folder, "maps")))
        except PermissionError:
            refused += 1
            continue
        except OSError:
            # It has ended in the meantime.
            continue
        if not files:
            continue
        kind, name = group_of(_read_or_empty(os.path.join(folder, "cgroup")))
        name = name or _read_or_empty(os.path.join(folder, "comm")).strip() or "process " + pid
        group = groups.setdefault((kind, name), {"processes": 0, "files": set()})
        group["processes"] += 1
        group["files"].update(files)
    if refused:
        return {"state": "failed", "reason": "{0} processes cannot be read; the scan must become root".format(refused)}
    services = [
        {"kind": kind, "name": name, "processes": group["processes"], "files": sorted(group["files"])[:MOST_FILES]}
        for (kind, name), group in sorted(groups.items())
    ]
    return {"state": "checked", "services": services}


def connection_of(proc, pid):
    """The process and its ancestors, up to the server that accepted the connection and runs on without it."""
    connection = set()
    while pid not in ("0", "1") and pid not in connection:
        folder = os.path.join(proc, pid)
        # The name of the program, in brackets, may contain anything.
        fields = _read_or_empty(os.path.join(folder, "stat")).rpartition(")")[2].split()
        parent = fields[1] if len(fields) > 1 else "0"
        kind, _unit = group_of(_read_or_empty(os.path.join(folder, "cgroup")))
        if parent == "1" and kind != "session":
            break
        connection.add(pid)
        pid = parent
    return connection


def deleted_files(maps):
    """The deleted files of packages whose code is mapped."""
    files = set()
    for line in maps.splitlines():
        # Addresses, permissions, offset, device, inode, path.
        fields = line.split(None, 5)
        if len(fields) < 6 or "x" not in fields[1] or not fields[5].endswith(DELETED):
            continue
        path = fields[5][: -len(DELETED)]
        if path.startswith(FOLDERS):
            files.add(TEMPORARY.sub("", path))
    return files


def group_of(cgroups):
    """Kind and unit of a process, from its control groups. The unit is empty if no unit of this host has started it."""
    parts = [part for part in systemd_path(cgroups).split("/") if part]
    if parts == ["init.scope"]:
        return "manager", "init.scope"
    # Slices only group. What is below the first unit belongs to it: a container has services of its own.
    unit = next((part for part in parts if not part.endswith(".slice")), "")
    if LOGIN.match(unit):
        return "session", unit
    return ("service", unit) if unit.endswith(".service") else ("other", unit if unit.endswith(".scope") else "")


def systemd_path(cgroups):
    """The control group that systemd manages, in version 2 or 1 of control groups."""
    paths = {}
    for line in cgroups.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3:
            paths[fields[1]] = fields[2]
    unified = paths.get("", "/")
    return unified if unified != "/" else paths.get("name=systemd", "/")


def _read(path):
    with open(path, errors="replace") as file:
        return file.read()


def _read_or_empty(path):
    try:
        return _read(path)
    except OSError:
        return ""
