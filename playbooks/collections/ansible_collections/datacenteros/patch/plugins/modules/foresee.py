#!/usr/bin/python
"""Asks the package manager of a real host what it would do for exactly these packages. Changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: foresee
short_description: Foresees a package transaction
description:
  - Resolves the transaction that the module M(datacenteros.patch.packages) would perform, with the same options, from the
    lists as last fetched.
options:
  packages:
    description: Names of installed packages and the versions to bring them to.
    type: dict
    required: true
  pinned:
    description: The only versions that may be installed, by package, with or along with I(packages). Empty for any.
    type: dict
    default: {}
  revisions:
    description: Whether to report the state of the repositories as well.
    type: bool
    default: false
author:
  - Patch Manager
"""
EXAMPLES = r"""
- name: Foresee an update
  datacenteros.patch.foresee:
    packages: {openssl: 3.0.7-18.el9}
"""
RETURN = r"""
foreseen:
  description:
    - C(state) is C(resolved) with C(updates), C(installs), C(removals), C(download_bytes) and C(disk_bytes);
      C(refused) or C(unknown) with the first words of the package manager in C(reason); C(untested) with the versions that are not
      pinned in C(untested).
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    checked_packages,
    checked_pins,
    package_system,
)


def main():
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "dict", "required": True},
            "pinned": {"type": "dict", "default": {}},
            "revisions": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = ENVIRONMENT
    system = package_system(module.run_command)
    missing = "dpkg or rpm" if system is None else system.missing_tool()
    if missing:
        module.fail_json(msg="the host has no {0}, so nothing can be installed on it".format(missing))
    try:
        packages = checked_packages(module.params["packages"])
        pinned = checked_pins(module.params["pinned"])
    except ValueError as error:
        module.fail_json(msg=str(error))
    foreseen = system.foresee(packages, pinned)
    if module.params["revisions"] and foreseen["state"] == "resolved":
        foreseen["revisions"] = system.revisions()
    module.exit_json(changed=False, foreseen=foreseen)


if __name__ == "__main__":
    main()
