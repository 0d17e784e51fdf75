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
        verdict = self.host.reboot_verdict(host)
        before = self.settings.boot_id_before or self.registered("precheck").get("pm_boot_id") or host["boot_id"]
        # A boot before the newer kernel was installed is not the one that this step promises.
        if host["boot_id"] != before and verdict["after_boot"] != "old_kernel":
            return self._done(host, verdict, "already rebooted", changed=False)
        if mode == "if_required" and verdict["state"] != "needed":
            text = "not needed" if verdict["state"] == "not_needed" else f"not rebooted: {verdict['text']}"
            return {"changed": False, "msg": text, "pm_rebooted": False, "pm_boot_id": host["boot_id"]}
        self.host.reboot(host["boot_id"])
        self._wait_for_another_boot(host)
        after = self.host.inspect()
        return self._done(after, self.host.reboot_verdict(after), "rebooted", changed=True)

    def _done(self, host, verdict, text, changed):
        """The boot is proven. Only a host that came back with its old kernel fails: the fix of the newer one is not in effect."""
        facts = {"pm_rebooted": True, "pm_boot_id": host["boot_id"]}
        if verdict["after_boot"] == "old_kernel":
            raise StepFailed(
                f"the host has rebooted and came back with its old kernel: {verdict['text']};"
                " check which kernel its boot loader starts by default",
                **facts,
            )
        if verdict["after_boot"] == "still_requested":
            facts["pm_warning"] = f"the host has rebooted, and another reboot is asked for: {verdict['text']}"
            text = facts["pm_warning"]
        return {"changed": changed, "msg": text, **facts}

    def _wait_for_another_boot(self, inspected):
        # A request to stop does not end the wait: the host's state is unknown until it is back.
        deadline = time.monotonic() + self.settings.reboot_timeout_seconds
        while True:
            host = self.host.try_inspect()
            if host is not None and host["boot_id"] != inspected["boot_id"]:
                return
            if time.monotonic() > deadline:
                late = f"{self.settings.reboot_timeout_seconds:g} s after the reboot began"
                if host is None:
                    raise HostUnreachable(late)
                raise StepFailed(f"the host has not rebooted {late}{_boot_id_of_a_container(inspected)}")
            time.sleep(0.5)


def _boot_id_of_a_container(host):
    kind = (host.get("reboot_facts") or {}).get("container")
    if kind is None:
        return ""
    return (
        f"; it is a container ({kind}), and a container has the boot id of its own host, so its reboot cannot be proven:"
        " set the policy's `reboot` to `never`, and restart it yourself"
    )
