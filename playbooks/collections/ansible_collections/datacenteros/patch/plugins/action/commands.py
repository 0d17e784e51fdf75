"""Runs the operator's commands of one phase in order, as argument lists; the first failure ends the step."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    ARGUMENTS = {"phase": ""}

    def perform(self):
        commands = getattr(self.settings, f"{self.arguments['phase']}_commands", None)
        if commands is None:
            raise StepFailed(f"`{self.arguments['phase']}` is not a phase")
        if not commands:
            return {"skipped": True, "msg": "no command is set"}
        if self.settings.driver == "model":
            return {"skipped": True, "msg": f"a model guest runs no commands; skipped {len(commands)}"}
        for argv in commands:
            check_command(argv)
        limit = self.rule.timeout_seconds if self.rule else None
        began = time.monotonic()
        outputs = []
        for argv in commands:
            self.check_stop()
            # A little less than the step's own limit, so that the host ends the command before the step ends.
            left = max(1.0, limit - (time.monotonic() - began) - 1) if limit else None
            outputs.append(self.host.run_command(argv, left))
        return {"changed": True, "msg": f"{len(commands)} commands ran", "pm_output": outputs}


def check_command(argv):
    if not (isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)):
        raise StepFailed("a command must be a list of texts, the program first")
