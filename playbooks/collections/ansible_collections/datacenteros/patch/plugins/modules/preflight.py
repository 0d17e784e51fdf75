#!/usr/bin/python
"""Reads what decides whether a real host is ready for an update. Changes nothing but the lists of its repositories."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Facts about the readiness of a host for an update
description:
  - Reads package locks and who holds them, running package transactions, free space and free inodes, and whether the
    repositories answer. The platform judges these facts.
options:
  packages:
    description: Names of the installed packages that the update replaces.
    type: list
    elements: str
    default: []
  refresh:
    description: Whether to find out whether the repositories answer, by fetching their lists.
    type: bool
    default: false
author:
  - Patch Manager
"""
EXAMPLES = r"""
- name: Check whether the host is ready
  datacenteros.patch.preflight:
    packages: [openssl]
    refresh: true
"""
RETURN = r"""
facts:
  description: C(lock), C(transactions), C(file_systems), C(most_files), C(repositories).
  type: dict
  returned: success
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.datacenteros.patch.plugins.module_utils.locks import lock_holder
from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    PACKAGE,
    package_system,
    refresh_problem,
)
from ansible_collections.datacenteros.patch.plugins.module_utils.space import file_systems
from ansible_collections.datacenteros.patch.plugins.module_utils.transactions import running_transactions


def main():
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = ENVIRONMENT
    system = package_system(module.run_command)
    missing = "dpkg or rpm" if system is None else system.missing_tool()
    if missing:
        module.fail_json(msg="the host has no {0}, so nothing can be installed on it".format(missing))
    if os.geteuid() != 0:
        module.fail_json(msg="the module does not run as root, so nothing can be installed on the host")
    holder = lock_holder(system.LOCKS)
    names = [name for name in module.params["packages"] if PACKAGE.match(name)]
    # Without the lock, the lists cannot be fetched.
    refresh = module.params["refresh"] and holder is None
    module.exit_json(changed=False, facts={
        "lock": {"state": "free"} if holder is None else {"state": "held", **holder},
        "transactions": running_transactions(),
        "file_systems": file_systems(system),
        "most_files": system.most_files(names),
        "repositories": repositories(system) if refresh else {"state": "not_asked"},
    })


def repositories(system):
    problem = refresh_problem(system)
    return {"state": "failed", "reason": problem} if problem else {"state": "answer"}


if __name__ == "__main__":
    main()
