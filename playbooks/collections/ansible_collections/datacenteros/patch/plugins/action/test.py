"""One test of a host, as an item of a loop: always a result, so that the loop and the play continue."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.datacenteros.patch.plugins.plugin_utils.checks import CHECKS
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction

# The items of one loop run in one process, so all tests of a host judge the same inspection.
FRESH_SECONDS = 15
_inspections = {}


class ActionModule(HostAction):
    ARGUMENTS = {"test": {}}

    def perform(self):
        test = self.arguments["test"]
        if not isinstance(test, dict):
            raise StepFailed("a test must be a mapping with `name` and `kind`")
        kind = str(test.get("kind", ""))
        name = str(test.get("name") or kind)
        passed, detail = self._judge(kind, test)
        return {"pm_test": {"name": name, "kind": kind, "passed": passed, "detail": detail}, "msg": detail}

    def _judge(self, kind, test):
        check = CHECKS.get(kind)
        if check is None:
            return False, f"`{kind}` is not a kind of test"
        host, problem = self._recent_inspection()
        if host is None:
            return False, problem
        try:
            if kind == "no_reboot_pending":
                host = {**host, "reboot_verdict": self.host.reboot_verdict(host)}
            return check(host, test)
        except StepFailed as error:
            return False, str(error)
        except (KeyError, TypeError, ValueError) as error:
            return False, f"the test is incomplete or has a value of the wrong type: {error}"

    def _recent_inspection(self):
        at, inspection = _inspections.get(self.settings.host, (None, None))
        if at is None or time.monotonic() - at > FRESH_SECONDS:
            inspection = self._inspect()
            _inspections[self.settings.host] = (time.monotonic(), inspection)
        return inspection

    def _inspect(self):
        try:
            return self.host.inspect(), ""
        except (HostUnreachable, AnsibleConnectionFailure) as error:
            return None, f"the host does not answer: {error}"
        except (StepFailed, AnsibleError) as error:
            return None, f"the host cannot be read: {error}"
