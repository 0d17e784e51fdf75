"""Maintenance of the host in the CMDB, held in the name of the run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    ARGUMENTS = {"state": "on", "reason": "patching"}

    def perform(self):
        settings = self.settings
        if not settings.cmdb_url:
            return {"skipped": True, "msg": "no CMDB is set"}
        body = {"state": self.arguments["state"], "owner": settings.owner}
        if body["state"] == "on":
            ends = datetime.now(timezone.utc) + timedelta(seconds=settings.maintenance_seconds)
            body.update(reason=self.arguments["reason"], expires_at=ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
        elif body["state"] != "off":
            raise StepFailed(f"maintenance can be `on` or `off`, not `{body['state']}`")
        api = Api("CMDB", settings.cmdb_url, settings.token_file, settings.api_retry_seconds)
        path = f"/cmdb/cis/{segment(settings.host)}/maintenance"
        expect(api.call("PUT", path, body), f"maintenance cannot be turned {body['state']}")
        return {"changed": True, "pm_maintenance": body["state"]}
