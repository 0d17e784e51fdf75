"""Writes whether a host can be worked on, and the facts that decide it, into `<pm_results_dir>/<host>.json`, on the controller."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.datacenteros.patch.plugins.module_utils.locks import is_scheduled
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction
from ansible_collections.datacenteros.patch.plugins.plugin_utils.results import write_result
from ansible_collections.datacenteros.patch.plugins.plugin_utils.ssh_host import unreachable_reason

# How long the holder of a package lock is waited for: an update by a timer of the host takes minutes.
LOCK_SECONDS = 30
SCHEDULED_LOCK_SECONDS = 300
PAUSE_SECONDS = 3


class ActionModule(HostAction):
    def perform(self):
        if self.settings.driver == "model":
            raise StepFailed("a model guest has neither a connection nor a package manager to check")
        try:
            answer = {"state": "read", "facts": self._facts()}
        except (AnsibleConnectionFailure, HostUnreachable) as error:
            answer = refused("connection", unreachable_reason(error, self.task_vars))
        except StepFailed as error:
            answer = refused(error.facts.get("pm_check", "host"), str(error))
        write_result(self.settings.results_dir, self.settings.host, answer)
        return {"msg": answer.get("reason", "answers")}

    def _facts(self):
        began = time.monotonic()
        while True:
            facts = self.host.preflight(sorted(self.settings.updates), self.settings.refresh)
            lock = facts["lock"]
            if lock["state"] == "free":
                return facts
            waited = time.monotonic() - began
            if waited + PAUSE_SECONDS > (SCHEDULED_LOCK_SECONDS if is_scheduled(lock) else LOCK_SECONDS):
                facts["lock"] = {"state": "held", "path": lock["path"], "holder": lock["text"], "waited_seconds": int(waited)}
                return facts
            self.pause(PAUSE_SECONDS)


def refused(check, reason):
    return {"state": "refused", "check": check, "reason": reason}
