#!/usr/bin/python
"""Brings a version of the product to this host with the vendor's own program, once per deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Deploys a release of the product
description:
  - Runs C(/etc/patch-manager/deploy-release) with C(RELEASE_VERSION), C(RELEASE_FROM), C(RELEASE_DIRECTION),
    C(RELEASE_ARTEFACT) and C(RELEASE_DEPLOYMENT_ID) in its environment, and waits for its end.
  - With a deployment id that is known already it begins nothing and reports how that deployment ended.
options:
  deployment_id:
    description: Id of the deployment.
    type: str
    required: true
  version:
    description: Version to deploy.
    type: str
    required: true
  from_version:
    description: Version that runs here now, as far as is known.
    type: str
    required: true
  direction:
    description: C(forward), or C(back) to the version that ran here before.
    type: str
    choices: [forward, back]
    required: true
  artefact:
    description: What the release tells the program to install.
    type: str
    default: ""
  timeout_seconds:
    description: How long the program may take.
    type: int
    default: 900
author:
  - Patch Manager
"""
EXAMPLES = r"""
- name: Deploy
  datacenteros.patch.release:
    deployment_id: 0197c4f0-0000-7000-8000-000000000001
    version: v1.0.1
    from_version: v1.0.0
    direction: forward
"""
RETURN = r"""
pm:
  description: How it ended.
  type: dict
  returned: always
pm_release:
  description: The version that was here before, when a deployment brought it.
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.datacenteros.patch.plugins.module_utils.deployments import PROGRAM, Deployment


def main():
    module = AnsibleModule(
        argument_spec={
            "deployment_id": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "from_version": {"type": "str", "required": True},
            "direction": {"type": "str", "choices": ["forward", "back"], "required": True},
            "artefact": {"type": "str", "default": ""},
            "timeout_seconds": {"type": "int", "default": 900},
        },
    )
    asked = module.params
    environment = {
        "RELEASE_DEPLOYMENT_ID": asked["deployment_id"],
        "RELEASE_VERSION": asked["version"],
        "RELEASE_FROM": asked["from_version"],
        "RELEASE_DIRECTION": asked["direction"],
        "RELEASE_ARTEFACT": asked["artefact"],
    }
    try:
        deployment = Deployment(asked["deployment_id"])
        deployment.begin({"program": PROGRAM, "environment": environment, "seconds": asked["timeout_seconds"]})
        # The deployment's own process enforces the limit; this wait only must not last forever.
        record = deployment.wait(asked["timeout_seconds"] + 30)
    except (OSError, ValueError) as error:
        fail(module, str(error), None)
    if record is None or record["state"] != "completed":
        reason = (record or {}).get("failure") or "the deployment is {0}".format((record or {}).get("state", "unknown"))
        fail(module, reason, record)
    module.exit_json(changed=True, pm={"outcome": "succeeded"}, pm_release={"previous": record["previous"]})


def fail(module, reason, record):
    module.fail_json(
        msg=reason, pm={"outcome": "failed", "reason": reason},
        pm_release={"previous": (record or {}).get("previous")},
    )


if __name__ == "__main__":
    main()
