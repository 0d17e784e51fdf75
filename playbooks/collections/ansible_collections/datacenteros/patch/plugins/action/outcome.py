"""Reports how the work on the host ended, as the last event of the host."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    ARGUMENTS = {"failed": False}
    ONLY_REPORTS = True

    def perform(self):
        packages = self.registered("update")
        reboot = self.registered("reboot")
        verify = self.registered("verify")
        changed = packages.get("pm_changed")
        outcome = {
            "outcome": "succeeded",
            "step": None,
            "reason": None,
            "boot_id": self._latest("pm_boot_id", verify, reboot, self.registered("precheck")),
            "changed": verify.get("pm_differences", []) if changed is None else changed,
            "rebooted": bool(reboot.get("pm_rebooted")),
            # Planned packages that are not installed; `None` when this was not checked.
            "pending": verify.get("pm_pending"),
            "passed_over": self._passed_over(),
            # Services that still run deleted files; `None` when nobody looked.
            "stale_services": verify.get("pm_stale_services"),
            # What the repositories offer in a newer version than the pinned one.
            "newer": self.registered("download").get("pm_newer") or packages.get("pm_newer") or [],
            "warnings": [
                warning for warning in (self.registered("bootstrap").get("pm_warning"), reboot.get("pm_warning")) if warning
            ],
        }
        if not self.arguments["failed"]:
            return {"pm": outcome}
        result = self.task_vars.get("ansible_failed_result") or {}
        # What recovery could not do is part of the reason, because an operator has to do it.
        left = [
            f"{what} failed: {self.registered(name).get('msg')}"
            for name, what in (("restarted", "starting its services"), ("released", "ending its maintenance"))
            if self.registered(name).get("msg") and self._is_failed(self.registered(name))
        ]
        outcome.update(
            outcome="stopped" if result.get("pm_stopped") else "failed",
            step=result.get("pm_step"),
            on_failure=result.get("pm_on_failure"),
            reason="; ".join([str(result.get("msg") or "the step failed"), *left]),
        )
        if result.get("pm_changed"):
            outcome["changed"] = result["pm_changed"]
        return {"failed": True, "msg": outcome["reason"], "pm": outcome}

    def _passed_over(self):
        """Steps that failed without failing the host."""
        results = [(name[len("managed_host_"):], value) for name, value in self.task_vars.items() if name.startswith("managed_host_")]
        return [
            {"step": value.get("pm_step") or name, "reason": str(value.get("msg"))}
            for name, value in sorted(results)
            if isinstance(value, dict) and value.get("pm_continued")
        ]

    @staticmethod
    def _is_failed(result):
        return bool(result.get("pm_recovery_failed") or result.get("unreachable") or result.get("failed"))

    @staticmethod
    def _latest(name, *results):
        return next((result[name] for result in results if result.get(name)), None)
