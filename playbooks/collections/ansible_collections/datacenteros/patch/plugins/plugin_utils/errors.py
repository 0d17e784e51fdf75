"""How a step ends when it does not succeed."""

from __future__ import annotations


class StepFailed(Exception):
    """The step failed on this host; the message says why."""

    def __init__(self, message, **facts):
        super().__init__(message)
        # Added to the task's result, so that the outcome can tell what had been done until then.
        self.facts = facts


class HostUnreachable(Exception):
    """The host does not answer."""


class StopRequested(Exception):
    """The run was asked to stop before this step began."""
