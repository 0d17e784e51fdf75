#!/usr/bin/python
"""Begins a package transaction on a real host, or reports its state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Named package transactions that run exactly once
description:
  - The transaction continues when the connection is lost. A name that is known already begins nothing.
options:
  name:
    description: Name of the transaction.
    type: str
    required: true
  begin:
    description: Whether to begin the transaction if it is unknown; otherwise the module only reports.
    type: bool
    default: false
  mode:
    description: What to do after an interrupted package database is repaired. C(download) repairs and installs nothing,
      C(commands) runs I(commands) instead of the package manager.
    type: str
    choices: [upgrade, downgrade, repair, download, commands]
    default: upgrade
  packages:
    description: Names of installed packages and the versions to bring them to.
    type: dict
    default: {}
  commands:
    description: Argument lists that run one after the other until one fails. No shell reads them.
    type: list
    elements: list
    default: []
  timeout_seconds:
    description: How long all I(commands) together may take; 0 for no limit.
    type: float
    default: 0
  refresh:
    description: Whether to fetch the repositories' lists before an upgrade; not needed after a download.
    type: bool
    default: true
  removals:
    description: Names of packages that an upgrade to I(packages) may remove. The host refuses to remove any other.
    type: list
    elements: str
    default: []
  pinned:
    description: The only versions that an upgrade to I(packages) or its download may install, by package. Empty for any.
    type: dict
    default: {}
  undo:
    description: Names of earlier transactions, oldest first, whose changes a downgrade reverts.
    type: list
    elements: str
    default: []
  selection:
    description: Either the versions of I(packages), or what the host's repositories offer.
    type: str
    choices: [planned, security, advisories, all]
    default: planned
  advisories:
    description: Ids for the selection C(advisories).
    type: list
    elements: str
    default: []
  run:
    description: Id of the run whose owner asks.
    type: str
    default: ""
  epoch:
    description:
      - Epoch of this owner. The host refuses an epoch that is lower than one that it has seen for the run.
      - 0 for work without owners.
    type: int
    default: 0
  wait_seconds:
    description: How long to wait for the end before returning.
    type: float
    default: 0
author:
  - Patch Manager
"""
EXAMPLES = r"""
- name: Bring a package to a version
  datacenteros.patch.packages:
    name: "run-1:1"
    begin: true
    packages: {openssl: 3.0.7-18.el9}
    wait_seconds: 10
"""
RETURN = r"""
transaction:
  description: State, phase, changed packages and failure; null when it never began.
  type: dict
  returned: always
superseded:
  description: True when the module refused because a later owner of the run has worked on this host.
  type: bool
  returned: on this failure
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.datacenteros.patch.plugins.module_utils.owners import Superseded, owned
from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    checked_packages,
    checked_pins,
    package_system,
)
from ansible_collections.datacenteros.patch.plugins.module_utils.transactions import Transaction

ADVISORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]*\Z")


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "begin": {"type": "bool", "default": False},
            "mode": {"type": "str", "choices": ["upgrade", "downgrade", "repair", "download", "commands"], "default": "upgrade"},
            "commands": {"type": "list", "elements": "list", "default": []},
            "timeout_seconds": {"type": "float", "default": 0.0},
            "refresh": {"type": "bool", "default": True},
            "packages": {"type": "dict", "default": {}},
            "removals": {"type": "list", "elements": "str", "default": []},
            "pinned": {"type": "dict", "default": {}},
            "undo": {"type": "list", "elements": "str", "default": []},
            "selection": {"type": "str", "choices": ["planned", "security", "advisories", "all"], "default": "planned"},
            "advisories": {"type": "list", "elements": "str", "default": []},
            "run": {"type": "str", "default": ""},
            "epoch": {"type": "int", "default": 0},
            "wait_seconds": {"type": "float", "default": 0.0},
        },
    )
    parameters = module.params
    try:
        transaction = Transaction(parameters["name"])
        with owned(parameters["run"], parameters["epoch"]):
            if parameters["begin"]:
                begin(module, transaction, parameters)
        record = transaction.wait(parameters["wait_seconds"])
    except Superseded as error:
        module.fail_json(msg=str(error), superseded=True)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    if record is not None:
        record.pop("before", None)
    module.exit_json(changed=bool(record and record["changed"]), transaction=record)


def begin(module, transaction, parameters):
    module.run_command_environ_update = ENVIRONMENT
    system = package_system(module.run_command)
    missing = "dpkg or rpm" if system is None else system.missing_tool()
    if missing:
        module.fail_json(msg="the host has no {0}, so nothing can be installed on it".format(missing))
    packages = {str(name): str(version) for name, version in parameters["packages"].items()}
    # Last to first, so that the oldest transaction decides which version to return to.
    for name in reversed(parameters["undo"]):
        undone = Transaction(name).read() or {}
        # A package that was new before has no version to return to; it stays, and so does the loss of one that was removed.
        changed = [change for change in undone.get("changed", []) if change["from"] and change["to"]]
        packages.update({change["package"]: change["from"] for change in changed})
    packages = checked_packages(packages)
    for advisory in parameters["advisories"]:
        if not ADVISORY.match(advisory):
            raise ValueError("`{0}` is not a valid advisory id".format(advisory))
    transaction.begin({
        "mode": parameters["mode"], "packages": packages, "selection": parameters["selection"],
        "advisories": parameters["advisories"], "removals": parameters["removals"], "refresh": parameters["refresh"],
        "pinned": checked_pins(parameters["pinned"]),
        "commands": [[str(word) for word in argv] for argv in parameters["commands"]],
        "timeout_seconds": parameters["timeout_seconds"],
    })


if __name__ == "__main__":
    main()
