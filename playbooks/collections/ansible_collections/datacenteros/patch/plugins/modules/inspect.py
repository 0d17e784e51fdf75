#!/usr/bin/python
"""Looks at a real host and gives what the sim-engine gives for a model guest."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inspect
short_description: What the host is, has installed and runs
description:
  - Reads packages, services, boot, disk, clock and package lock. Changes nothing.
options:
  services:
    description: Names of systemd units to judge.
    type: list
    elements: str
    default: []
author:
  - Patch Manager
"""
EXAMPLES = r"""
- name: Look at the host
  datacenteros.patch.inspect:
    services: [nginx.service]
"""
RETURN = r"""
host:
  description: The host, in the shape of the sim-engine's guest.
  type: dict
  returned: success
"""

import fcntl
import os
import re
import time

from ansible.module_utils.basic import AnsibleModule

DPKG_FIELDS = "${binary:Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${db:Status-Abbrev}\n"
RPM_FIELDS = "%{NAME}\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\n"


class Inspection:
    def __init__(self, module):
        self.module = module
        # Free of the operator's language, because answers are read here.
        module.run_command_environ_update = {"LC_ALL": "C", "LANG": "C"}
        self.dpkg = module.get_bin_path("dpkg-query")
        self.rpm = None if self.dpkg else module.get_bin_path("rpm")

    def run(self, argv):
        return self.module.run_command(argv)

    def host(self):
        if not self.dpkg and not self.rpm:
            self.module.fail_json(msg="neither dpkg nor rpm is installed on the host")
        packages = self.dpkg_packages() if self.dpkg else self.rpm_packages()
        return {
            "os": os_release(),
            "packaging": "dpkg" if self.dpkg else "rpm",
            "kernel": os.uname()[2],
            "boot_id": read("/proc/sys/kernel/random/boot_id").strip(),
            "booted_at": int(time.time() - float(read("/proc/uptime").split()[0])),
            "reboot_pending": self.reboot_pending(),
            "disk_free_percent": disk_free_percent(),
            "clock_offset_ms": self.clock_offset_ms(),
            "packages": packages,
            "services": [service for service in map(self.service, self.module.params["services"]) if service],
            "listening_ports": listening_ports(),
            "package_lock": package_lock(),
            "package_database_problem": self.database_problem(),
        }

    def dpkg_packages(self):
        _code, out, _err = self.run([self.dpkg, "-W", "-f", DPKG_FIELDS])
        _code, held, _err = self.run(["apt-mark", "showhold"]) if os.path.exists("/usr/bin/apt-mark") else (0, "", "")
        candidates = self.apt_candidates()
        held = set(held.split())
        packages = []
        for line in out.splitlines():
            name, version, arch, source, source_version, status = (line + "\t" * 5).split("\t")[:6]
            # The second letter is the state: only `i` is wholly installed, `c` are left-over settings.
            if len(status) < 2 or status[1] in "nc":
                continue
            plain = name.split(":")[0]
            packages.append({
                "name": plain, "version": version, "arch": arch, "source": source, "source_version": source_version,
                "candidate": candidates.get(plain), "held": plain in held or name in held,
            })
        return packages

    def apt_candidates(self):
        """Newest version on offer, by the simulation of an upgrade: `Inst name [old] (new origin)`."""
        apt = self.module.get_bin_path("apt-get")
        if not apt:
            return {}
        code, out, _err = self.run([apt, "-s", "-o", "Debug::NoLocking=1", "--ignore-hold", "dist-upgrade"])
        pattern = re.compile(r"^Inst (\S+) \[[^\]]*\] \((\S+) ", re.MULTILINE)
        return dict(pattern.findall(out)) if code == 0 else {}

    def rpm_packages(self):
        _code, out, _err = self.run([self.rpm, "-qa", "--qf", RPM_FIELDS])
        candidates = self.dnf_candidates()
        packages = []
        for line in out.splitlines():
            name, version, arch, source = (line + "\t" * 3).split("\t")[:4]
            if name == "gpg-pubkey":
                continue
            packages.append({
                "name": name, "version": version, "arch": arch, "source": re.sub(r"-[^-]+-[^-]+\.src\.rpm$", "", source),
                "source_version": version, "candidate": candidates.get((name, arch)), "held": False,
            })
        return packages

    def dnf_candidates(self):
        dnf = self.module.get_bin_path("dnf")
        if not dnf:
            return {}
        code, out, _err = self.run([dnf, "-q", "-C", "check-update"])
        # 100 says there are updates; anything else but 0 is an error, such as lists that were never fetched.
        if code not in (0, 100):
            return {}
        rows = (line.split() for line in out.split("Obsoleting")[0].splitlines())
        return {tuple(row[0].rsplit(".", 1)): row[1] for row in rows if len(row) == 3 and "." in row[0]}

    def service(self, name):
        """Nothing for a unit that does not exist."""
        unit = name if "." in name else name + ".service"
        _code, out, _err = self.run(["systemctl", "show", "--property=LoadState,ActiveState,SubState,NRestarts", unit])
        shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if shown.get("LoadState", "not-found") == "not-found":
            return None
        active = shown.get("ActiveState") == "active"
        return {
            "name": name, "port": None, "active": active, "healthy": active and shown.get("SubState") != "auto-restart",
            "config_valid": shown.get("LoadState") == "loaded", "sessions": 0,
        }

    def reboot_pending(self):
        if self.dpkg:
            return os.path.exists("/run/reboot-required") or os.path.exists("/var/run/reboot-required")
        tool = self.module.get_bin_path("needs-restarting")
        return bool(tool) and self.run([tool, "-r"])[0] == 1

    def clock_offset_ms(self):
        """Absent when nobody keeps the clock; the kernel's own estimate otherwise."""
        code, out, _err = self.run(["chronyc", "-c", "tracking"]) if self.module.get_bin_path("chronyc") else (1, "", "")
        fields = out.split(",")
        if code == 0 and len(fields) > 4:
            return int(float(fields[4]) * 1000)
        if self.module.get_bin_path("timedatectl"):
            _code, out, _err = self.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
            if out.strip() == "yes":
                return 0
        return None

    def database_problem(self):
        command = ["dpkg", "--audit"] if self.dpkg else [self.rpm, "--verifydb"]
        code, out, err = self.run(command)
        trouble = (out + err).strip()
        return None if code == 0 and not (self.dpkg and trouble) else trouble[:500] or "exit status {0}".format(code)


def os_release():
    pairs = (line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)
    fields = {key: value.strip("\"'") for key, value in pairs}
    name, version = fields.get("ID", "linux"), fields.get("VERSION_ID", "")
    # As the CMDB tags them: `ubuntu2204`, and the major version alone for all others.
    return name + (version.replace(".", "") if name == "ubuntu" else version.split(".")[0])


def disk_free_percent():
    """Of the fullest file system that an update writes to."""
    percents = []
    for path in ("/", "/usr", "/var", "/boot"):
        if os.path.isdir(path):
            stats = os.statvfs(path)
            if stats.f_blocks:
                percents.append(100.0 * stats.f_bavail / stats.f_blocks)
    return round(min(percents), 1)


def listening_ports():
    ports = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read(path).splitlines()[1:]:
            fields = line.split()
            # 0A is the state LISTEN.
            if len(fields) > 3 and fields[3] == "0A":
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return sorted(ports)


def package_lock():
    """Which lock another process holds, found by asking the kernel without taking it."""
    for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock", "/run/dnf.lock"):
        try:
            with open(path, "r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(file, fcntl.LOCK_UN)
        except FileNotFoundError:
            continue
        except BlockingIOError:
            return path
        except PermissionError:
            continue
    return None


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def main():
    module = AnsibleModule(
        argument_spec={"services": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, host=Inspection(module).host())


if __name__ == "__main__":
    main()
