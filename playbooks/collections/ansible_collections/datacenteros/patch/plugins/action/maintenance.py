"""Turns maintenance of the host on or off: in the CMDB on behalf of the run, in monitoring by the operator's hooks."""

from __future__ import annotations

import subprocess

from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction
from ansible_collections.datacenteros.patch.plugins.action.commands import check_command

HOOK_TIMEOUT_SECONDS = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ActionModule(HostAction):
    ARGUMENTS = {"state": "on", "reason": "patching"}

    def perform(self):
        settings, state = self.settings, self.arguments["state"]
        if state not in ("on", "off"):
            raise StepFailed(f"maintenance must be `on` or `off`, not `{state}`")
        hooks = settings.maintenance_hooks.get(state) or []
        if not settings.cmdb_url and not hooks:
            return {"skipped": True, "msg": "no CMDB is set"}
        # The hooks run while the CMDB has the host in maintenance.
        if state == "on":
            self._update_cmdb(state)
        for argv in hooks:
            self._run_hook(argv, state)
        if state == "off":
            self._update_cmdb(state)
        return {"changed": True, "pm_maintenance": state, "msg": f"{state}; {len(hooks)} hooks"}

    def _update_cmdb(self, state):
        settings = self.settings
        if not settings.cmdb_url:
            return
        body = {"state": state, "owner": settings.owner}
        if state == "on":
            # A duration, because the CMDB's clock may differ from the one of this machine.
            body.update(reason=self.arguments["reason"], duration_seconds=max(1, round(settings.maintenance_seconds)))
        api = Api("CMDB", settings.cmdb_url, settings.token_file, settings.api_retry_seconds)
        path = f"/cmdb/cis/{segment(settings.host)}/maintenance"
        expect(api.call("PUT", path, body), f"maintenance cannot be turned {state}")

    def _run_hook(self, argv, state):
        check_command(argv)
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "PM_HOST": self.settings.host, "PM_MAINTENANCE": state}
        environment["PM_RUN_ID"] = self.settings.run_id
        try:
            done = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=HOOK_TIMEOUT_SECONDS, check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"the hook `{argv[0]}` did not end within {HOOK_TIMEOUT_SECONDS} s") from None
        except OSError as error:
            raise StepFailed(f"the hook `{argv[0]}` cannot be run: {error.strerror}") from None
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()[-500:]
            raise StepFailed(f"the hook `{argv[0]}` ended with {done.returncode}: {said}")
