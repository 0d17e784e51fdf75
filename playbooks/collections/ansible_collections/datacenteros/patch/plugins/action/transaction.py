"""Brings a `model` guest's packages to the planned versions, in one transaction that is waited for to its end."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    def perform(self):
        if not self.settings.updates:
            return {"skipped": True, "msg": "the plan names no package", "pm_changed": []}
        transaction = self.host.finish_transaction(self.host.start_transaction(self.settings.updates))
        if transaction is None:
            raise StepFailed("the guest has forgotten the package transaction; it may have been returned to a snapshot")
        changed = transaction["changed"]
        if transaction["state"] != "completed":
            raise StepFailed(transaction.get("failure") or "the package transaction failed", pm_changed=changed)
        return {"changed": bool(changed), "msg": f"{len(changed)} packages changed", "pm_changed": changed}
