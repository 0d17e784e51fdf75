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
        }
        if not self.arguments["failed"]:
            return {"pm": outcome}
        result = self.task_vars.get("ansible_failed_result") or {}
        task = self.task_vars.get("ansible_failed_task")
        name = getattr(task, "name", None) or (task.get("name") if isinstance(task, dict) else "") or ""
        step = name.partition(" | ")[0].rpartition(" : ")[2]
        outcome.update(
            outcome="stopped" if result.get("pm_stopped") else "failed",
            step=step,
            reason=str(result.get("msg") or "the step failed"),
        )
        return {"failed": True, "msg": f"{step}: {outcome['reason']}", "pm": outcome}

    @staticmethod
    def _latest(name, *results):
        return next((result[name] for result in results if result.get(name)), None)
