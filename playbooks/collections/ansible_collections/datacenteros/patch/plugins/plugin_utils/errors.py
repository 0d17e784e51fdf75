"""How a step can end without success."""

from __future__ import annotations


class StepFailed(Exception):
    """The step failed on this host, for the reason in the message."""

    def __init__(self, message, **facts):
        super().__init__(message)
        # Added to the task's result, so that the outcome reports what was done before the failure.
        self.facts = facts


class HostUnreachable(Exception):
    """The host does not answer."""


class StopRequested(Exception):
    """The run was asked to stop before this step began."""


class Superseded(Exception):
    """The host refuses this owner of the run, because it has worked for a later one."""
