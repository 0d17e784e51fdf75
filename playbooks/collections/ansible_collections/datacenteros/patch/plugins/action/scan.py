"""Writes a description of the host and its packages into `<pm_results_dir>/<host>.json`, on the controller."""

from __future__ import annotations

from datetime import datetime, timezone

from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction
from ansible_collections.datacenteros.patch.plugins.plugin_utils.results import write_result


class ActionModule(HostAction):
    def perform(self):
        host = self.host.inspect(refresh=True, stale=True)
        scan = {
            "host": self.settings.host,
            "scanned_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **host,
            "packages": [_package(package) for package in host["packages"]],
        }
        write_result(self.settings.results_dir, self.settings.host, scan)
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
