"""Brings a `model` guest's packages to the planned versions, in one transaction that is waited for to its end."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction

# As long as the tasks for real hosts wait for apt and dnf.
LOCK_TIMEOUT_SECONDS = 120


class ActionModule(HostAction):
    def perform(self):
        if not self.settings.updates:
            return {"skipped": True, "msg": "the plan names no package", "pm_changed": []}
        transaction = self.host.finish_transaction(self._start())
        if transaction is None:
            raise StepFailed("the guest has forgotten the package transaction; it may have been returned to a snapshot")
        changed = transaction["changed"]
        if transaction["state"] != "completed":
            raise StepFailed(transaction.get("failure") or "the package transaction failed", pm_changed=changed)
        return {"changed": bool(changed), "msg": f"{len(changed)} packages changed", "pm_changed": changed}

    def _start(self):
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while (transaction := self.host.start_transaction(self.settings.updates)) is None:
            self.check_stop()
            if time.monotonic() > deadline:
                raise StepFailed(f"another package transaction holds the lock for more than {LOCK_TIMEOUT_SECONDS} s")
            time.sleep(0.5)
        return transaction
