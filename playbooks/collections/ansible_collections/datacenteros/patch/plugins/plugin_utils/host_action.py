"""What every action of this collection shares: settings, the host behind its driver, and how a step may end."""

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import (
    HostUnreachable,
    StepFailed,
    StopRequested,
)
from ansible_collections.datacenteros.patch.plugins.plugin_utils.model_host import ModelHost
from ansible_collections.datacenteros.patch.plugins.plugin_utils.settings import Settings
from ansible_collections.datacenteros.patch.plugins.plugin_utils.ssh_host import SshHost


class HostAction(ActionBase):
    """A subclass says in `perform` what the step does; what it returns becomes the task's result."""

    TRANSFERS_FILES = False
    # Arguments the task may have, with their defaults.
    ARGUMENTS = {}
    # False for what only reports: it needs no settings, and a requested stop does not keep it from reporting.
    IS_STEP = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        try:
            self.task_vars = task_vars or {}
            self.arguments = self._read_arguments()
            if self.IS_STEP:
                self.settings = Settings(self.task_vars)
                self.check_stop()
            result.update(self.perform())
        except StopRequested:
            result.update(failed=True, pm_stopped=True, msg="the run was asked to stop before this step")
        except HostUnreachable as error:
            result.update(unreachable=True, msg=f"the host does not answer: {error}")
        except StepFailed as error:
            result.update(failed=True, msg=str(error), **error.facts)
        return result

    def perform(self):
        raise NotImplementedError

    @property
    def host(self):
        """The inside of the host; made on first use, because many steps turn out to need nothing of it."""
        if not hasattr(self, "_host"):
            if self.settings.driver == "model":
                self._host = ModelHost(self.settings)
            else:
                self._host = SshHost(self.settings, self, self.task_vars)
        return self._host

    def check_stop(self):
        if self.settings.stop_file and os.path.exists(self.settings.stop_file):
            raise StopRequested

    def registered(self, name):
        """Result of an earlier task of the role on this host; empty when it did not run."""
        value = self.task_vars.get("managed_host_" + name)
        return value if isinstance(value, dict) else {}

    def _read_arguments(self):
        unknown = sorted(set(self._task.args) - set(self.ARGUMENTS))
        if unknown:
            raise StepFailed(f"{self._task.action} has no argument `{unknown[0]}`")
        return {**self.ARGUMENTS, **self._task.args}


def installed_versions(host):
    return {package["name"]: package["version"] for package in host["packages"]}
