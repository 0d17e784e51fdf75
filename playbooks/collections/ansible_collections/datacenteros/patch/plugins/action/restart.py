"""Restarts the services that still run deleted files, as far as the policy allows it."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    def perform(self):
        if self.settings.restart_services == "never":
            return {"skipped": True, "msg": "the policy says `never`"}
        stale = self.host.inspect(packages=False, stale=True).get("stale_services") or {"state": "not_checked"}
        if stale["state"] != "checked":
            # Verification reports the same, so that it is never taken for a host on which nothing is left.
            return {"msg": f"it is unknown which services run deleted files: {stale.get('reason', 'nobody looked')}"}
        restarts = self.host.restarts(stale)
        if restarts["reexecute"]:
            self.host.reexecute_manager()
        for name in restarts["services"]:
            self.host.control_service(name, "restart")
        done = [*(["the service manager"] if restarts["reexecute"] else []), *restarts["services"]]
        return {"changed": bool(done), "msg": f"restarted: {', '.join(done) or 'none'}", "pm_restarted": done}
