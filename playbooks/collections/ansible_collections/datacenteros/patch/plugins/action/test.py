"""One test of a host, as an item of a loop: always a result, never the end of the loop or the play."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.datacenteros.patch.plugins.plugin_utils.checks import CHECKS
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction

# The items of one loop run in one process, so that all tests of a host judge the same look at it.
FRESH_SECONDS = 15
_looks = {}


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
            return False, f"there is no test of kind `{kind}`"
        host, trouble = self._look()
        if host is None:
            return False, trouble
        try:
            return check(host, test)
        except (KeyError, TypeError, ValueError) as error:
            return False, f"the test is incomplete or of the wrong type: {error}"

    def _look(self):
        at, look = _looks.get(self.settings.host, (None, None))
        if at is None or time.monotonic() - at > FRESH_SECONDS:
            look = self._inspect()
            _looks[self.settings.host] = (time.monotonic(), look)
        return look

    def _inspect(self):
        try:
            return self.host.inspect(), ""
        except (HostUnreachable, AnsibleConnectionFailure) as error:
            return None, f"the host does not answer: {error}"
        except (StepFailed, AnsibleError) as error:
            return None, f"the host cannot be read: {error}"
