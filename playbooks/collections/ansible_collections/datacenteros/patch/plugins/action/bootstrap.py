"""Installs Python on a host that has none, with the package manager of the host and without any module."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    def perform(self):
        command = self.settings.bootstrap_command
        if not command:
            return {"skipped": True, "msg": "the plan does not install Python"}
        if self.settings.driver == "model":
            raise StepFailed("a model guest needs no Python")
        self.host.run_raw(command, "Python cannot be installed on the host")
        return {"changed": True, "msg": "installed Python", "pm_warning": "it had no Python, which was installed first"}
