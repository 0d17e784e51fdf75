"""Checks that the host is ready for work: reachable, healthy, disk, package lock, maintenance."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.module_utils.locks import is_scheduled
from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction, installed_versions

LOCK_TIMEOUT_SECONDS = 60


class ActionModule(HostAction):
    # Whether a package transaction of this run is under way already.
    own_runs = False

    def perform(self):
        host = self._wait_for_lock()
        free = host["disk_free_percent"]
        if free < self.settings.min_disk_free_percent:
            raise StepFailed(
                f"{free:.1f} % of the disk is free, {self.settings.min_disk_free_percent:g} % is needed;"
                " free some space and try again"
            )
        installed = installed_versions(host)
        missing = sorted(set(self.settings.updates) - set(installed))
        if missing:
            raise StepFailed(f"package `{missing[0]}` of the plan is not installed; the host has changed since the scan")
        services = {service["name"]: service for service in host["services"] if service["name"] in self.settings.services}
        absent = sorted(set(self.settings.services) - set(services))
        if absent:
            raise StepFailed(f"service `{absent[0]}` does not exist on the host")
        # Stopped services are fine: an interrupted run that is resumed has stopped them itself.
        unhealthy = [name for name, service in services.items() if service["active"] and not service["healthy"]]
        if unhealthy:
            raise StepFailed(f"service `{unhealthy[0]}` is not healthy before the work; repair it first")
        self._check_maintenance()
        # The update itself repairs a damaged package database.
        return {
            "pm_manager": "model" if self.settings.driver == "model" else host["packaging"],
            "pm_boot_id": host["boot_id"],
            "pm_packaging": host["packaging"],
            "pm_update_runs": self.own_runs,
            "pm_locked": host["package_lock"] is not None,
            "pm_database_problem": host["package_database_problem"],
            "pm_versions": {name: installed[name] for name in self.settings.updates},
        }

    def _check_maintenance(self):
        settings = self.settings
        if not settings.cmdb_url:
            return
        api = Api("CMDB", settings.cmdb_url, settings.token_file, settings.api_retry_seconds)
        answer = api.get(f"/cmdb/cis/{segment(settings.host)}")
        held = (answer.body or {}).get("maintenance") if answer.ok and isinstance(answer.body, dict) else None
        if held and held.get("owner") != settings.owner:
            raise StepFailed(f"the host is in maintenance by {held.get('owner')}; wait until it ends, or end it in the CMDB")

    def _wait_for_lock(self):
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while (holder := (host := self.host.inspect())["package_lock"]) is not None:
            self.check_stop()
            # The update waits for a transaction that this run began before a crash, and the download for timers of the host.
            own = self.host.last_transaction()[0] if self.settings.driver == "ssh" else None
            self.own_runs = own is not None and own["state"] == "running"
            if self.own_runs or is_scheduled(holder):
                return host
            if time.monotonic() > deadline:
                raise StepFailed(f"{holder['text']} holds the package lock `{holder['path']}`")
            time.sleep(2)
        return host
