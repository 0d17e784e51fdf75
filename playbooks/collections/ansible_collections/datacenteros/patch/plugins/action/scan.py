"""Writes a description of the host and its packages into `<pm_results_dir>/<host>.json`, on the controller."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction


class ActionModule(HostAction):
    def perform(self):
        folder = self.settings.results_dir
        if not folder:
            raise StepFailed("pm_results_dir is not set; the scan has no folder for its result")
        if os.sep in self.settings.host:
            raise StepFailed(f"`{self.settings.host}` is not a valid file name")
        host = self.host.inspect(refresh=True, stale=True)
        scan = {
            "host": self.settings.host,
            "scanned_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **host,
            "packages": [_package(package) for package in host["packages"]],
        }
        path = os.path.join(folder, self.settings.host + ".json")
        # Renamed into place, so that a reader never sees half a file.
        partial = f"{path}.{os.getpid()}.partial"
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(scan, file)
            os.replace(partial, path)
        except OSError as error:
            raise StepFailed(f"the scan cannot be written to `{path}`: {error.strerror}") from None
        return {"msg": f"{len(scan['packages'])} packages", "pm_scan": {"packages": len(scan["packages"])}}


def _package(package):
    """One shape for both drivers; a model package has no architecture and is its own source."""
    return {
        "name": package["name"],
        "version": package["version"],
        "arch": package.get("arch") or "noarch",
        "source": package.get("source") or package["name"],
        "source_version": package.get("source_version") or package["version"],
        "candidate": package.get("candidate"),
        "offered": package.get("offered") or [],
        "candidate_origin": package.get("candidate_origin"),
        "held": bool(package.get("held")),
        "module": package.get("module"),
        "vendor": package.get("vendor"),
        "returnable": bool(package.get("returnable")),
    }
