#!/usr/bin/python
"""Inspects a real host and returns what the sim-engine returns for a model guest."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inspect
short_description: Describes a host, its packages and its services
description:
  - Reads packages, services, boot, disk, clock and package lock. Changes nothing.
options:
  services:
    description: Names of systemd units to report.
    type: list
    elements: str
    default: []
  packages:
    description: Whether to read the packages; the rest is quick.
    type: bool
    default: true
  stale:
    description: Whether to look for services that still run deleted files.
    type: bool
    default: false
  refresh:
    description: Whether to fetch the repositories' lists first; without it C(candidate) may be outdated.
    type: bool
    default: false
author:
  - Patch Manager
"""
EXAMPLES = r"""
- name: Inspect the host
  datacenteros.patch.inspect:
    services: [nginx.service]
"""
RETURN = r"""
host:
  description: The host, in the shape of the sim-engine's guest.
  type: dict
  returned: success
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.datacenteros.patch.plugins.module_utils.deleted_files import stale_services
from ansible_collections.datacenteros.patch.plugins.module_utils.locks import lock_holder
from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    os_release,
    package_system,
    read,
    refresh_problem,
)
from ansible_collections.datacenteros.patch.plugins.module_utils.repositories import enabled_modules, repositories

# How well-known services check their own settings. For all others, systemd must be able to read the unit.
SETTINGS_CHECKS = {
    "apache2": ["apachectl", "configtest"],
    "haproxy": ["haproxy", "-c", "-q", "-f", "/etc/haproxy/haproxy.cfg"],
    "httpd": ["httpd", "-t"],
    "named": ["named-checkconf"],
    "nginx": ["nginx", "-t", "-q"],
    "postfix": ["postfix", "check"],
    "ssh": ["sshd", "-t"],
    "sshd": ["sshd", "-t"],
    "squid": ["squid", "-k", "parse"],
}


# Names of packages that may contain a kernel begin so. The platform knows which ones do.
KERNELS = ("kernel", "linux-image-", "pve-kernel-", "proxmox-kernel-", "raspberrypi")
# Files by which a distribution asks for a reboot: Debian and Ubuntu, then SUSE.
MARKERS = ("/run/reboot-required", "/var/run/reboot-required", "/run/reboot-needed", "/boot/reboot-needed")


class Inspection:
    def __init__(self, module):
        self.module = module
        module.run_command_environ_update = ENVIRONMENT
        self.system = package_system(module.run_command)

    def run(self, argv):
        return self.module.run_command(argv)

    def host(self):
        if self.system is None:
            self.module.fail_json(msg="neither dpkg nor rpm is installed on the host")
        clock = time.time()
        booted_at = int(clock - float(read("/proc/uptime").split()[0]))
        host = {
            "os": os_name(),
            "packaging": self.system.KIND,
            "kernel": os.uname()[2],
            "boot_id": read("/proc/sys/kernel/random/boot_id").strip(),
            "booted_at": booted_at,
            "disk_free_percent": disk_free_percent(),
            "clock": clock,
            "clock_offset_ms": self.clock_offset_ms(),
            "services": [service for service in map(self.service, self.module.params["services"]) if service],
            "listening_ports": listening_ports(),
            "package_lock": lock_holder(self.system.LOCKS),
        }
        if self.module.params["stale"]:
            host["stale_services"] = stale_services()
        if not self.module.params["packages"]:
            return host
        host["package_database_problem"] = self.system.database_problem()
        host["packages"] = self.system.installed()
        host["reboot_facts"] = self.reboot_facts(host["packages"], booted_at)
        host["repository_urls"] = repositories()
        host["enabled_modules"] = enabled_modules()
        if self.module.params["refresh"]:
            self.refresh()
            problem = self.system.describe(host["packages"])
            host["repositories"] = {"state": "failed", "reason": problem} if problem else {"state": "asked"}
        return host

    def reboot_facts(self, packages, booted_at):
        """What the platform needs to judge whether the host needs a reboot; this module does not judge."""
        uname = os.uname()
        tool = self.system.needs_restarting()
        return {
            "running_kernel": uname[2],
            "running_build": uname[3],
            "container": self.container(),
            "kernels": [
                {"name": package["name"], "version": package["version"]}
                for package in packages if package["name"].startswith(KERNELS)
            ],
            "marker": reboot_marker(),
            "needs_restarting": tool,
            "updated_since_boot": self.system.updated_since(booted_at, packages) if tool in (None, "failed") else [],
        }

    def container(self):
        """The kind of container that the host is; `None` for a machine."""
        kind = read("/run/systemd/container").strip()
        if kind:
            return kind
        if self.module.get_bin_path("systemd-detect-virt"):
            code, out, _err = self.run(["systemd-detect-virt", "--container"])
            return out.strip() if code == 0 and out.strip() not in ("", "none") else None
        markers = {"/run/.containerenv": "podman", "/.dockerenv": "docker"}
        return next((kind for path, kind in markers.items() if os.path.exists(path)), None)

    def refresh(self):
        missing = self.system.missing_tool()
        if missing:
            self.module.fail_json(msg="the host has no {0}, so the packages on offer cannot be read".format(missing))
        problem = refresh_problem(self.system)
        if problem:
            self.module.fail_json(msg=problem)

    def service(self, name):
        """The service; `None` for a unit that does not exist."""
        unit = name if "." in name else name + ".service"
        fields = "LoadState,ActiveState,SubState,NRestarts,ActiveEnterTimestampMonotonic"
        _code, out, _err = self.run(["systemctl", "show", "--property=" + fields, "--", unit])
        shown = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if shown.get("LoadState", "not-found") == "not-found":
            return None
        active = shown.get("ActiveState") == "active"
        return {
            "name": name, "port": None, "active": active, "healthy": active and shown.get("SubState") != "auto-restart",
            "config_valid": shown.get("LoadState") == "loaded" and self.settings_valid(name), "sessions": 0,
            # Changes with every start of the service, by systemd or by an operator.
            "life": "{0}:{1}".format(shown.get("NRestarts"), shown.get("ActiveEnterTimestampMonotonic")),
        }

    def settings_valid(self, name):
        command = SETTINGS_CHECKS.get(name.partition(".")[0])
        program = self.module.get_bin_path(command[0], opt_dirs=["/usr/sbin", "/sbin"]) if command else None
        return program is None or self.run([program, *command[1:]])[0] == 0

    def clock_offset_ms(self):
        """As the program that keeps the clock reports it; `None` when no program does."""
        code, out, _err = self.run(["chronyc", "-c", "tracking"]) if self.module.get_bin_path("chronyc") else (1, "", "")
        fields = out.split(",")
        # A reference of only zeros means that there is none.
        if code == 0 and len(fields) > 4 and fields[0].strip("0"):
            return int(float(fields[4]) * 1000)
        if self.module.get_bin_path("timedatectl"):
            _code, out, _err = self.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
            if out.strip() == "yes":
                return 0
        return None


def os_name():
    fields = os_release()
    name, version = fields.get("ID", "linux"), fields.get("VERSION_ID", "")
    # As the CMDB tags them: `ubuntu2204`, but only the major version for most others. Each service pack of SUSE is a release.
    if name.startswith(("opensuse-leap", "sle", "sl-micro")):
        return "{0}:{1}".format(name, version)
    return name + (version.replace(".", "") if name == "ubuntu" else version.split(".")[0])


def reboot_marker():
    """The distribution's marker and the packages it names; `None` without one."""
    path = next((path for path in MARKERS if os.path.exists(path)), None)
    return None if path is None else {"path": path, "packages": sorted(set(read(path + ".pkgs").split()))}


def disk_free_percent():
    """The free part of the fullest file system that an update writes to."""
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


def main():
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "bool", "default": True},
            "stale": {"type": "bool", "default": False},
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, host=Inspection(module).host())


if __name__ == "__main__":
    main()
