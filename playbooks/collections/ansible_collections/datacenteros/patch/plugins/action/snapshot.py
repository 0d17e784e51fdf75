"""Reverts the machine to the run's snapshot and waits until its inside answers again."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    def perform(self):
        if not self.settings.snapshot_id:
            raise StepFailed("pm_snapshot_id is not set; there is no snapshot to revert to")
        self.host.revert(self.settings.snapshot_id)
        deadline = time.monotonic() + self.settings.reboot_timeout_seconds
        while (host := self.host.try_inspect()) is None:
            if time.monotonic() > deadline:
                raise HostUnreachable(f"{self.settings.reboot_timeout_seconds:g} s after it was reverted to the snapshot")
            time.sleep(0.5)
        return {"changed": True, "pm_boot_id": host["boot_id"], "pm_rebooted": True}
