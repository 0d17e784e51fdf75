"""Fetches the lists of the repositories and the files of the update while the services of the host still run."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.module_utils.locks import patience
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction, installed_versions
from ansible_collections.datacenteros.patch.plugins.plugin_utils.versions import is_at_least, newer_than_pinned

PAUSE_SECONDS = 3


class ActionModule(HostAction):
    def perform(self):
        settings, known = self.settings, self.registered("precheck")
        if settings.driver == "model":
            return {"skipped": True, "msg": "a model guest downloads nothing"}
        if settings.update_commands:
            return {"skipped": True, "msg": "the site's own update fetches what it needs"}
        if settings.selection != "planned":
            return {"skipped": True, "msg": "what is downloaded is known only when the update begins"}
        if known.get("pm_update_runs"):
            return {"skipped": True, "msg": "the update of this run is under way already"}
        host = self._idle_host() if known.get("pm_locked") else None
        problem = host["package_database_problem"] if host else known.get("pm_database_problem")
        if problem:
            # apt downloads nothing before it is repaired, and a repair may restart services.
            return {"skipped": True, "msg": "the package database is damaged; the update repairs it first, then downloads"}
        installed = installed_versions(host) if host else known.get("pm_versions") or {}
        due = self._due(known.get("pm_packaging"), installed)
        if not due:
            return {"skipped": True, "msg": "every planned version is installed"}
        order = {"mode": "download", "packages": due, "removals": settings.removals, "pinned": settings.pinned, "suffix": ":download"}
        transaction = self.host.begin_transaction(self.tries, order)
        newer = newer_than_pinned(transaction, known.get("pm_packaging"), settings.pinned)
        if transaction["state"] != "completed":
            raise StepFailed(transaction.get("failure") or "the download failed", pm_newer=newer)
        return {"changed": True, "pm_downloaded": True, "pm_newer": newer, "msg": f"the files of {len(due)} packages"}

    def _idle_host(self):
        """The host after a timer of its own has ended its work: it may have installed some of the update."""
        began = time.monotonic()
        while (holder := self.host.inspect(packages=False)["package_lock"]) is not None:
            waited = time.monotonic() - began
            if waited > patience(holder):
                raise StepFailed(f"{holder['text']} has held the package lock `{holder['path']}` for more than {waited:.0f} s")
            self.pause(PAUSE_SECONDS)
        return self.host.inspect()

    def _due(self, packaging, installed):
        wanted = {name: str(version) for name, version in self.settings.updates.items()}
        return {name: version for name, version in wanted.items() if not is_at_least(packaging, installed.get(name), version)}
