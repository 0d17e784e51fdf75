"""Waits until no package transaction of the run is under way and reports what it changed."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    def perform(self):
        transaction = self.host.finish_packages() or {}
        host = self.host.inspect(packages=False)
        return {
            "pm_manager": "model" if self.settings.driver == "model" else host["packaging"],
            "pm_boot_id": host["boot_id"],
            "pm_changed": transaction.get("changed", []),
        }
