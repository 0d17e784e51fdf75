"""A real host: its inside is reached by Ansible's own modules over SSH."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed


class SshHost:
    def __init__(self, settings, action, task_vars):
        self.settings = settings
        self.action = action
        self.task_vars = task_vars

    def inspect(self):
        """Packages, services, boot, disk, clock and package lock, in the shape of the sim-engine's guest:

        `os packaging boot_id booted_at reboot_pending disk_free_percent clock_offset_ms packages services`, and beside
        it `package_lock` (who holds it) and `package_database_problem`, both absent when all is well.
        """
        tested = [test["service"] for test in self.settings.tests if isinstance(test, dict) and "service" in test]
        names = sorted({str(name) for name in [*self.settings.services, *tested]})
        return self._module("datacenteros.patch.inspect", {"services": names})["host"]

    def try_inspect(self):
        try:
            return self.inspect()
        except (AnsibleConnectionFailure, HostUnreachable):
            self.action._connection.reset()
            return None

    def control_service(self, name, action):
        # systemd has no notion of draining; a host is drained by its pre-downtime commands.
        if action == "drain":
            return
        state = {"start": "started", "stop": "stopped", "restart": "restarted"}[action]
        self._module("ansible.builtin.systemd_service", {"name": name, "state": state})

    def run_command(self, argv):
        result = self._module("ansible.builtin.command", {"argv": argv})
        return (result.get("stdout") or "")[-2000:]

    def reboot(self, boot_id):
        """Returns when the host is back: Ansible's own action sends the reboot and waits."""
        task = self.action._task.copy()
        task.args = {"reboot_timeout": int(self.settings.reboot_timeout_seconds)}
        result = self.action._shared_loader_obj.action_loader.get(
            "ansible.builtin.reboot",
            task=task,
            connection=self.action._connection,
            play_context=self.action._play_context,
            loader=self.action._loader,
            templar=self.action._templar,
            shared_loader_obj=self.action._shared_loader_obj,
        ).run(task_vars=self.task_vars)
        if result.get("failed"):
            raise StepFailed(f"the reboot failed: {result.get('msg')}")

    def revert(self, snapshot_id):
        # The machine's snapshots are the hypervisor's, whatever driver its inside has.
        api = Api("sim-engine", self.settings.sim_url, self.settings.token_file, self.settings.api_retry_seconds)
        path = f"/sim/vms/{segment(self.settings.vm_id)}/snapshots/{segment(snapshot_id)}/revert"
        expect(api.call("POST", path), "the snapshot cannot be restored")
        self.action._connection.reset()

    def settle_packages(self):
        """Waits for the package manager to let go; what it left half done is repaired by the role's own tasks."""
        deadline = time.monotonic() + self.settings.patch_timeout_seconds
        while (holder := self.inspect()["package_lock"]) is not None:
            if time.monotonic() > deadline:
                raise StepFailed(f"the package lock is still held by {holder}")
            time.sleep(2)

    def _module(self, name, arguments):
        result = self.action._execute_module(module_name=name, module_args=arguments, task_vars=self.task_vars)
        if result.get("unreachable"):
            raise HostUnreachable(str(result.get("msg", "no answer over SSH")))
        if result.get("failed"):
            raise StepFailed(_reason(name, result))
        return result


def _reason(name, result):
    parts = [str(result.get("msg") or f"{name} failed")]
    if result.get("stderr"):
        parts.append(str(result["stderr"])[-1000:])
    return ": ".join(parts)
