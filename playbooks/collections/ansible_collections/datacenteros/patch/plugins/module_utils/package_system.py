"""What the package systems share: which one a host has, its lists, and differences between two inspections."""

from __future__ import annotations

import re
import shutil

from ansible_collections.datacenteros.patch.plugins.module_utils.dpkg import Dpkg
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words
from ansible_collections.datacenteros.patch.plugins.module_utils.rpm import Rpm
from ansible_collections.datacenteros.patch.plugins.module_utils.zypper import Zypper

# For commands whose output is parsed and that must not ask questions.
ENVIRONMENT = {
    "LC_ALL": "C",
    "LANG": "C",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "UCF_FORCE_CONFFOLD": "1",
    # The workflow restarts services and the host.
    "NEEDRESTART_MODE": "l",
}


# No text that a package manager reads as an option, a path, a pattern or a list.
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*\Z")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~:^_-]*\Z")


def checked_packages(packages):
    """Names and versions that a package manager reads as nothing else."""
    packages = {str(name): str(version) for name, version in packages.items()}
    for name, version in packages.items():
        if not PACKAGE.match(name) or not VERSION.match(version):
            raise ValueError("`{0}` at `{1}` is not a valid package and version".format(name, version))
    return packages


def checked_pins(packages):
    """The same, where a package that is new may be named with its architecture."""
    checked_packages({str(name).partition(":")[0]: version for name, version in packages.items()})
    for name in packages:
        if not PACKAGE.match(str(name).replace(":", "-", 1)):
            raise ValueError("`{0}` is not a valid package".format(name))
    return {str(name): str(version) for name, version in packages.items()}


def package_system(run):
    """The system of this host; `None` when it has none. `run` takes an argument list and returns code, output, errors."""
    fields = os_release()
    family = {fields.get("ID", ""), *fields.get("ID_LIKE", "").split()}
    # A host may also have the tool of another family.
    systems = [Dpkg, Rpm]
    if family & {"suse", "opensuse", "sles", "sled", "sle_hpc", "sl-micro"}:
        systems = [Zypper, Dpkg]
    elif family & {"rhel", "fedora", "centos", "rocky", "almalinux", "ol"}:
        systems = [Rpm, Dpkg]
    return next((system(run) for system in systems if shutil.which(system.QUERY)), None)


def os_release():
    pairs = (line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def refresh_problem(system):
    """Fetches the lists of the repositories; why that failed, or `None`."""
    code, out, err = system.refresh()
    return None if code == 0 else "the package lists cannot be refreshed: {0}".format(first_words(system.REFRESH, code, out + err, 600))


def differences(before, after):
    """What changed between two maps of package name to versions: another version, a new package (`from` is `None`), or one
    that is gone (`to` is `None`)."""
    changed = []
    for name in sorted({*before, *after}):
        old, new = set(before.get(name, ())), set(after.get(name, ()))
        added, gone = sorted(new - old), sorted(old - new)
        if added and old:
            changed.append({"package": name, "from": (gone or sorted(old))[-1], "to": added[-1]})
        elif added or not new:
            changed.append({"package": name, "from": gone[-1] if gone else None, "to": added[-1] if added else None})
    return changed


def versions(packages):
    """Map of package name to its installed versions."""
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
