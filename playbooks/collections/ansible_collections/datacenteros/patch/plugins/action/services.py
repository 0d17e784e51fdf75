"""Stops the run's services in their order, or starts them in reverse order."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    ARGUMENTS = {"state": "started"}

    def perform(self):
        names = self.settings.services
        if not names:
            return {"skipped": True, "msg": "the run has no services"}
        state = self.arguments["state"]
        if state not in ("started", "stopped"):
            raise StepFailed(f"services must be `stopped` or `started`, not `{state}`")
        wanted = state == "started"
        if not wanted and self._only_installs_python():
            return {"skipped": True, "msg": "only Python is installed, which needs no downtime"}
        if not wanted and self.settings.driver == "model":
            self._let_sessions_end(names)
        active = self._active()
        # A service that depends on others comes before them in the list: it stops first and starts last.
        order = reversed(names) if wanted else names
        due = [name for name in order if active.get(name) != wanted]
        for name in due:
            self.host.control_service(name, "start" if wanted else "stop")
        return {"changed": bool(due), "msg": f"{state}: {', '.join(due) or 'all already'}"}

    def _only_installs_python(self):
        settings = self.settings
        return bool(settings.bootstrap_command) and not settings.updates and settings.reboot != "always"

    def _let_sessions_end(self, names):
        """Drains the services of a model guest; a real host has `pm_drain` instead."""
        active = self._active()
        draining = [name for name in names if active.get(name)]
        for name in draining:
            self.host.control_service(name, "drain")
        deadline = time.monotonic() + self.settings.drain_timeout_seconds
        while True:
            services = self.host.inspect()["services"]
            left = sum(service["sessions"] for service in services if service["name"] in draining)
            if left == 0:
                return
            self.check_stop()
            if time.monotonic() > deadline:
                raise StepFailed(f"{left} sessions are left after {self.settings.drain_timeout_seconds:g} s of draining")
            time.sleep(0.3)

    def _active(self):
        return {service["name"]: service["active"] for service in self.host.inspect(packages=False)["services"]}
