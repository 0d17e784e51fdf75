"""Reboots the host if needed; a changed boot id proves it."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    # Empty: the value of `pm_reboot`.
    ARGUMENTS = {"mode": ""}

    def perform(self):
        mode = self.arguments["mode"] or self.settings.reboot
        if mode == "never":
            return {"skipped": True, "msg": "the policy says `never`"}
        host = self.host.inspect()
        before = self.settings.boot_id_before or self.registered("precheck").get("pm_boot_id") or host["boot_id"]
        if host["boot_id"] != before:
            return {"changed": False, "msg": "already rebooted", "pm_rebooted": True, "pm_boot_id": host["boot_id"]}
        if mode == "if_required" and not host["reboot_pending"]:
            return {"changed": False, "msg": "not needed", "pm_rebooted": False, "pm_boot_id": before}
        self.host.reboot(before)
        after = self._wait_for_another_boot(before)
        if after["reboot_pending"]:
            raise StepFailed("the host still needs a reboot after one", pm_rebooted=True, pm_boot_id=after["boot_id"])
        return {"changed": True, "msg": "rebooted", "pm_rebooted": True, "pm_boot_id": after["boot_id"]}

    def _wait_for_another_boot(self, before):
        # A request to stop does not end the wait: the host's state is unknown until it is back.
        deadline = time.monotonic() + self.settings.reboot_timeout_seconds
        while True:
            host = self.host.try_inspect()
            if host is not None and host["boot_id"] != before:
                return host
            if time.monotonic() > deadline:
                late = f"{self.settings.reboot_timeout_seconds:g} s after the reboot began"
                raise HostUnreachable(late) if host is None else StepFailed(f"the host has not rebooted {late}")
            time.sleep(0.5)
