"""The steps of a host's workflow, and what holds for each: how long, how often, and what follows when it fails."""

from __future__ import annotations

import signal
from contextlib import contextmanager

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed

NAMES = (
    "precheck", "pre_downtime", "maintenance_on", "stop_services", "drain", "pre_update", "update", "reboot",
    "start_services", "post_update", "health", "maintenance_off",
)
LONGEST_PAUSE_SECONDS = 3600


class Rule:
    """What `pm_steps` says of one step; a step it says nothing of has one try, no timeout and fails its host."""

    def __init__(self, name, values):
        self.name = name
        self.timeout_seconds = _number(name, values, "timeout_seconds", None)
        self.retries = int(_number(name, values, "retries", 0))
        self.backoff_seconds = _number(name, values, "backoff_seconds", 0)
        self.on_failure = values.get("on_failure", "abort")
        if self.on_failure not in ("abort", "rollback", "continue"):
            raise StepFailed(f"on_failure of step `{name}` must be `abort`, `rollback` or `continue`")

    def pause_after(self, tries):
        """Seconds before the next try: doubled with each."""
        return min(self.backoff_seconds * 2 ** (tries - 1), LONGEST_PAUSE_SECONDS)

    @contextmanager
    def limited(self):
        """Ends what is done within by `StepFailed` when it takes longer than one try may."""
        if not self.timeout_seconds:
            yield
            return

        def out_of_time(_number, _frame):
            raise StepFailed(f"it did not end within {self.timeout_seconds:g} s")

        # Each task runs in a process of its own, whose alarm is free.
        before = signal.signal(signal.SIGALRM, out_of_time)
        signal.setitimer(signal.ITIMER_REAL, self.timeout_seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def rule_of_task(task_name, steps):
    """The rule of the step a task does by its name, `draining | stop services`; `None` for what is no step."""
    stage, bar, what = (task_name or "").partition(" | ")
    stage = stage.rpartition(" : ")[2]
    name = what.replace(" ", "_")
    # Recovery does the same things and is no step: it has neither retries nor consequences.
    if not bar or stage == "recovering" or name not in NAMES:
        return None
    values = steps.get(name) or {}
    if not isinstance(values, dict):
        raise StepFailed(f"pm_steps says of `{name}` something that is no mapping")
    return Rule(name, values)


def _number(name, values, key, default):
    value = values.get(key, default)
    if value is default:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise StepFailed(f"{key} of step `{name}` must be a number that is not negative")
    return value
