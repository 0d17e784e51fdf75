"""States how the work on the host ended, as the last word of the host in the event stream."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    ARGUMENTS = {"failed": False}
    IS_STEP = False

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
            # What of the plan is not installed; `None` when nobody has looked.
            "pending": verify.get("pm_pending"),
            "passed_over": self._passed_over(),
        }
        if not self.arguments["failed"]:
            return {"pm": outcome}
        result = self.task_vars.get("ansible_failed_result") or {}
        task = self.task_vars.get("ansible_failed_task")
        name = getattr(task, "name", None) or (task.get("name") if isinstance(task, dict) else "") or ""
        step = name.partition(" | ")[0].rpartition(" : ")[2]
        # What did not succeed in recovering is part of what somebody has to know.
        left = [
            f"{what} failed: {self.registered(name).get('msg')}"
            for name, what in (("restarted", "starting its services"), ("released", "ending its maintenance"))
            if self.registered(name).get("msg") and self._is_failed(self.registered(name))
        ]
        outcome.update(
            outcome="stopped" if result.get("pm_stopped") else "failed",
            step=step,
            workflow_step=result.get("pm_step"),
            on_failure=result.get("pm_on_failure"),
            reason="; ".join([str(result.get("msg") or "the step failed"), *left]),
        )
        if result.get("pm_changed"):
            outcome["changed"] = result["pm_changed"]
        return {"failed": True, "msg": f"{step}: {outcome['reason']}", "pm": outcome}

    def _passed_over(self):
        """Steps that failed and were passed over."""
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
