"""Checks that the planned versions are installed and that every service is healthy and stays healthy."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction, installed_versions
from ansible_collections.datacenteros.patch.plugins.plugin_utils.versions import is_at_least


class ActionModule(HostAction):
    # `versions: false` checks only the services, for playbooks that install nothing.
    ARGUMENTS = {"versions": True}

    def perform(self):
        host = self.host.inspect(stale=True)
        facts = self._facts(host)
        pending = facts["pm_pending"]
        if self.arguments["versions"] and pending:
            name, wanted = next(iter(sorted(pending.items())))
            found = installed_versions(host).get(name)
            raise StepFailed(f"`{name}` is at {found} instead of the planned {wanted}", **facts)
        self._wait_until_stable(host, facts)
        return facts

    def _facts(self, host):
        installed = installed_versions(host)
        updates = self.settings.updates
        before = self.registered("precheck").get("pm_versions") or {}
        return {
            "pm_boot_id": host["boot_id"],
            "pm_stale_services": host.get("stale_services"),
            "pm_pending": {
                name: wanted
                for name, wanted in updates.items()
                if not is_at_least(host["packaging"], installed.get(name), wanted)
            },
            "pm_differences": [
                {"package": name, "from": before[name], "to": installed[name]}
                for name in sorted(before)
                if name in installed and installed[name] != before[name]
            ],
        }

    def _wait_until_stable(self, host, facts):
        deadline = time.monotonic() + self.settings.health_timeout_seconds
        healthy_since, lives = None, None
        while True:
            now = time.monotonic()
            problems = [problem for name in self.settings.services if (problem := _problem(name, host))]
            before, lives = lives, {service["name"]: service.get("life") for service in host["services"]}
            if not problems and before is not None and before != lives:
                problems = ["a service restarted"]
            if problems:
                healthy_since = None
            else:
                healthy_since = healthy_since if healthy_since is not None else now
                if not self.settings.services or now - healthy_since >= self.settings.health_stable_seconds:
                    return
            self.check_stop()
            if now > deadline:
                why = problems[0] if problems else "the services do not stay healthy"
                raise StepFailed(f"{why} after {self.settings.health_timeout_seconds:g} s", **facts)
            time.sleep(min(0.5, max(0.05, self.settings.health_stable_seconds)))
            host = self.host.inspect(packages=False)


def _problem(name, host):
    service = next((service for service in host["services"] if service["name"] == name), None)
    if service is None:
        return f"service `{name}` does not exist"
    if not service["active"]:
        return f"service `{name}` does not run"
    return None if service["healthy"] else f"service `{name}` runs and is not healthy"
