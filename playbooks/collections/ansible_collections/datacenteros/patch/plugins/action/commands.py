"""The operator's commands of one phase, in order, as argument lists; the first that fails ends the step."""

from __future__ import annotations

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    ARGUMENTS = {"phase": ""}

    def perform(self):
        commands = getattr(self.settings, f"{self.arguments['phase']}_commands", None)
        if commands is None:
            raise StepFailed(f"there is no phase `{self.arguments['phase']}`")
        if not commands:
            return {"skipped": True, "msg": "no command is set"}
        if self.settings.driver == "model":
            return {"skipped": True, "msg": f"a model guest runs no commands; {len(commands)} left out"}
        for argv in commands:
            if not (isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)):
                raise StepFailed("a command must be a list of texts, the program first")
        outputs = []
        for argv in commands:
            self.check_stop()
            outputs.append(self.host.run_command([str(word) for word in argv]))
        return {"changed": True, "msg": f"{len(commands)} commands ran", "pm_output": outputs}
