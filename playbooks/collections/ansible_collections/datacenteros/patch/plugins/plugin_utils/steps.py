"""The rules for a step of the host workflow: how long, how often, and what follows when it fails."""

from __future__ import annotations

import signal
from contextlib import contextmanager

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed

LONGEST_PAUSE_SECONDS = 3600


class Rule:
    """One entry of `pm_steps`. A step without an entry has one try, no timeout and fails its host."""

    def __init__(self, name, values):
        self.name = name
        self.timeout_seconds = _number(name, values, "timeout_seconds", None)
        self.retries = int(_number(name, values, "retries", 0))
        self.backoff_seconds = _number(name, values, "backoff_seconds", 0)
        self.on_failure = values.get("on_failure", "abort")
        if self.on_failure not in ("abort", "rollback", "continue"):
            raise StepFailed(f"on_failure of step `{name}` must be `abort`, `rollback` or `continue`")

    def pause_after(self, tries):
        """Seconds before the next try; doubled with each try."""
        return min(self.backoff_seconds * 2 ** (tries - 1), LONGEST_PAUSE_SECONDS)

    @contextmanager
    def limited(self):
        """Raises `StepFailed` inside the block when it takes longer than one try may."""
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


def rule_of(step, steps):
    """The rule of a step, which a task names in its variable `managed_host_step`; `None` for a task without a step.

    Recovery uses the same actions without a step: it has neither retries nor consequences.
    """
    if step is None:
        return None
    values = steps.get(step) or {}
    if not isinstance(values, dict):
        raise StepFailed(f"pm_steps: the entry of `{step}` is not a mapping")
    return Rule(step, values)


def _number(name, values, key, default):
    value = values.get(key, default)
    if value is default:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise StepFailed(f"{key} of step `{name}` must be a number of at least 0")
    return value
