"""Returns packages to their earlier versions, with everything that the run's transactions changed along with them."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction, installed_versions


class ActionModule(HostAction):
    def perform(self):
        settings = self.settings
        if settings.driver == "model":
            raise StepFailed("a model guest cannot downgrade packages; it needs a snapshot")
        transaction, number = self.host.last_transaction()
        transaction = self.host.finish_transaction(transaction, number)
        undo = [self.host.transaction_name(each + 1) for each in range(number)]
        order = {"mode": "downgrade", "packages": settings.downgrades, "undo": undo, "suffix": ":downgrade"}
        result = self.host.begin_transaction(1, order)
        if result["state"] != "completed":
            raise StepFailed(result["failure"] or "the downgrade failed", pm_changed=result["changed"])
        installed = installed_versions(self.host.inspect())
        for name, version in sorted(settings.downgrades.items()):
            if _plain(installed.get(name)) != _plain(version):
                raise StepFailed(f"`{name}` is at {installed.get(name)} after the downgrade; expected {version}")
        changed = result["changed"]
        return {"changed": bool(changed), "msg": f"{len(changed)} packages downgraded", "pm_changed": changed}


def _plain(version):
    """The epoch 0 may be written or not."""
    return version[2:] if version and version.startswith("0:") else version
