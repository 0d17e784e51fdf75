"""What both package systems share: which one a host has, its locks, and differences between two looks at it."""

from __future__ import annotations

import fcntl
import os
import shutil

from ansible_collections.datacenteros.patch.plugins.module_utils.dpkg import Dpkg
from ansible_collections.datacenteros.patch.plugins.module_utils.rpm import Rpm

# Answers are read here, and nobody is there to be asked.
ENVIRONMENT = {
    "LC_ALL": "C",
    "LANG": "C",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "UCF_FORCE_CONFFOLD": "1",
    # Services are the workflow's to restart, and so is the host.
    "NEEDRESTART_MODE": "l",
}


def package_system(run):
    """The system of this host; `None` when it has neither. `run` takes an argument list and gives code, output, errors."""
    fields = os_release()
    family = {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}
    # Either tool may be installed on a host of the other family.
    systems = [Dpkg, Rpm]
    if family & {"rhel", "fedora", "centos", "suse", "rocky", "almalinux", "ol"}:
        systems = [Rpm, Dpkg]
    return next((system(run) for system in systems if shutil.which(system.QUERY)), None)


def os_release():
    pairs = (line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def lock_holder(paths):
    """Which of these locks another process holds, found by asking the kernel without taking it."""
    for path in paths:
        try:
            with open(path, "r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(file, fcntl.LOCK_UN)
        except BlockingIOError:
            return path
        except OSError:
            continue
    # dnf writes its number down instead of taking a lock.
    for path in ("/var/cache/dnf/metadata_lock.pid", "/var/lib/dnf/rpmdb_lock.pid"):
        number = read(path).strip()
        if number.isdigit() and "dnf" in read("/proc/{0}/cmdline".format(number)):
            return path
    return None


def differences(before, after):
    """Packages that were installed in both looks, in another version; each look is a map of name to versions."""
    changed = []
    for name in sorted(before):
        added = sorted(set(after.get(name, ())) - set(before[name]))
        gone = sorted(set(before[name]) - set(after.get(name, ())))
        if added:
            changed.append({"package": name, "from": (gone or sorted(before[name]))[-1], "to": added[-1]})
    return changed


def versions(packages):
    """Map of name to the versions that are installed."""
    found = {}
    for package in packages:
        known = found.setdefault(package["name"], [])
        if package["version"] not in known:
            known.append(package["version"])
    return found


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""
