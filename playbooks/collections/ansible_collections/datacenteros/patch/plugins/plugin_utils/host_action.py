"""What all actions of this collection share: settings, the host behind its driver, and how a step may end."""

from __future__ import annotations

import os
import time

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import (
    HostUnreachable,
    StepFailed,
    StopRequested,
    Superseded,
)
from ansible_collections.datacenteros.patch.plugins.plugin_utils.model_host import ModelHost
from ansible_collections.datacenteros.patch.plugins.plugin_utils.settings import Settings
from ansible_collections.datacenteros.patch.plugins.plugin_utils.ssh_host import SshHost, unreachable_reason
from ansible_collections.datacenteros.patch.plugins.plugin_utils.steps import rule_of


class HostAction(ActionBase):
    """A subclass does the work in `perform`; the returned value becomes the task's result."""

    TRANSFERS_FILES = False
    # The task's arguments with their defaults.
    ARGUMENTS = {}
    # True for an action that only reports: it needs no settings, and it also runs after a request to stop.
    ONLY_REPORTS = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        self.task_vars = task_vars or {}
        self.rule, self.tries = None, 0
        step = self._task.vars.get("managed_host_step")
        try:
            self.arguments = self._read_arguments()
            if not self.ONLY_REPORTS:
                self.settings = Settings(self.task_vars)
                self.rule = rule_of(step, self.settings.steps)
            result.update(self._try_until_done())
        except StopRequested:
            result.update(failed=True, pm_stopped=True, msg="the run was asked to stop before this step")
        except Superseded as error:
            result.update(failed=True, pm_stopped=True, pm_superseded=True, msg=str(error))
        except (AnsibleConnectionFailure, HostUnreachable) as error:
            result.update(unreachable=True, msg=unreachable_reason(error, self.task_vars))
        except StepFailed as error:
            result.update(self._failed(error), **error.facts)
        if step is not None:
            result.update(pm_tries=max(self.tries, 1), pm_step=step)
        return result

    def perform(self):
        raise NotImplementedError

    @property
    def host(self):
        """The inside of the host; created on first use, because many steps do not need it."""
        if not hasattr(self, "_host"):
            if self.settings.driver == "model":
                self._host = ModelHost(self.settings)
            else:
                self._host = SshHost(self.settings, self, self.task_vars)
        return self._host

    def check_stop(self):
        if self.settings.stop_file and os.path.exists(self.settings.stop_file):
            raise StopRequested
        if self.settings.lease_file and lease_has_ended(self.settings.lease_file):
            raise StopRequested

    def pause(self, seconds):
        """Sleeps, and raises `StopRequested` when the run is asked to stop."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check_stop()
            time.sleep(min(left, 0.5))

    def registered(self, name):
        """Result of an earlier task of the role on this host; empty when it did not run."""
        value = self.task_vars.get("managed_host_" + name)
        return value if isinstance(value, dict) else {}

    def _try_until_done(self):
        if self.ONLY_REPORTS:
            return self.perform()
        while True:
            self.check_stop()
            self.tries += 1
            try:
                if self.rule is None:
                    return self.perform()
                with self.rule.limited():
                    return self.perform()
            except StepFailed:
                if self.rule is None or self.tries > self.rule.retries:
                    raise
            self.pause(self.rule.pause_after(self.tries))

    def _failed(self, error):
        """With a rule, the policy decides what follows; without one, the task fails."""
        if self.rule is None:
            return {"failed": True, "msg": str(error), "pm_recovery_failed": True}
        times = f" ({self.tries} tries)" if self.tries > 1 else ""
        if self.rule.on_failure == "continue":
            return {"failed": False, "pm_continued": True, "msg": f"failed and passed over{times}: {error}"}
        return {"failed": True, "msg": f"{error}{times}", "pm_on_failure": self.rule.on_failure}

    def _read_arguments(self):
        unknown = sorted(set(self._task.args) - set(self.ARGUMENTS))
        if unknown:
            raise StepFailed(f"{self._task.action} has no argument `{unknown[0]}`")
        return {**self.ARGUMENTS, **self._task.args}


def lease_has_ended(path):
    """Whether the owner of the run may be another process by now, which works on the same hosts."""
    try:
        with open(path) as file:
            until = float(file.read())
    except (OSError, ValueError):
        # The folder belongs to the owner: without the file there is none.
        return True
    return time.clock_gettime(time.CLOCK_BOOTTIME) >= until


def installed_versions(host):
    return {package["name"]: package["version"] for package in host["packages"]}
