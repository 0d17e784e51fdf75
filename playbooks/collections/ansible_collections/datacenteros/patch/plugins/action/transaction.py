"""Brings the packages of a host to the planned versions, in one transaction, and waits for its end.

Run, attempt and try name the transaction. After a lost connection or a crash of the controller, the next play finds it
by its name and waits for it or uses its result; it never runs twice.
"""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.action.commands import check_command
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host_action import HostAction, installed_versions
from ansible_collections.datacenteros.patch.plugins.plugin_utils.versions import is_at_least, newer_than_pinned

LOCK_TIMEOUT_SECONDS = 120


class ActionModule(HostAction):
    def perform(self):
        if self.settings.driver == "model":
            return self._patch_model()
        return self._patch_host()

    def _patch_model(self):
        if not self.settings.updates:
            return {"skipped": True, "msg": "the plan names no package", "pm_changed": []}
        transaction = self.host.finish_transaction(self._start(), self.tries)
        if transaction is None:
            raise StepFailed("the guest does not know the package transaction any more; it may have been reverted to a snapshot")
        return _result(transaction)

    def _start(self):
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while (transaction := self.host.start_transaction(self.settings.updates, self.tries)) is None:
            self.check_stop()
            if time.monotonic() > deadline:
                raise StepFailed(f"another package transaction has held the lock for more than {LOCK_TIMEOUT_SECONDS} s")
            time.sleep(0.5)
        return transaction

    def _patch_host(self):
        settings = self.settings
        if settings.update_commands:
            return self._run_site_commands()
        is_planned = settings.selection == "planned"
        due = self._due() if is_planned else {}
        known = self.host.find_transaction(self.tries) if is_planned and not due else None
        if known is not None and known["state"] == "running":
            # This run began it before a crash. What was seen in the middle of it is neither complete nor damaged.
            known = self.host.finish_transaction(known, self.tries)
            due = self._due()
        if is_planned and not due:
            return self._nothing_due(known)
        order = {
            "packages": due, "removals": settings.removals, "selection": settings.selection,
            "advisories": settings.advisories, "pinned": settings.pinned,
            "refresh": not self.registered("download").get("pm_downloaded"),
        }
        transaction = self.host.begin_transaction(self.tries, order)
        result = _result(transaction)
        packaging = self.registered("precheck").get("pm_packaging")
        result["pm_newer"] = newer_than_pinned(transaction, packaging, settings.pinned)
        missing = self._due() if is_planned else {}
        if missing:
            name, wanted = next(iter(sorted(missing.items())))
            found = self.installed.get(name)
            raise StepFailed(f"`{name}` is at {found} after the update; expected {wanted}", pm_changed=transaction["changed"])
        return result

    def _run_site_commands(self):
        """The site's own update. It may not bear a repetition, so one that was interrupted is not begun again."""
        for argv in self.settings.update_commands:
            check_command(argv)
        order = {"mode": "commands", "commands": self.settings.update_commands}
        if self.rule and self.rule.timeout_seconds:
            # A little less than the step's own limit, so that the host ends the commands before the step ends.
            order["timeout_seconds"] = max(1.0, self.rule.timeout_seconds - 5)
        return _result(self.host.begin_once(self.tries, order))

    def _nothing_due(self, known):
        """Reports the result of a transaction from before a crash, and repairs an interrupted one, whose packages count
        as installed before they are complete."""
        if known is not None and known["state"] == "interrupted":
            # With the same name, changes count from before the interruption.
            return _result(self.host.begin_transaction(self.tries, {"mode": "repair"}))
        changed = known["changed"] if known else []
        if self.problem:
            repair = {"mode": "repair", "suffix": f":repair-{int(time.time())}"}
            return _result(self.host.begin_transaction(self.tries, repair), earlier=changed)
        return {"changed": False, "msg": "every planned version is installed", "pm_changed": changed}

    def _due(self):
        """The planned packages that are below their planned version."""
        host = self.host.inspect()
        self.installed, self.problem = installed_versions(host), host["package_database_problem"]
        return {
            name: str(version)
            for name, version in self.settings.updates.items()
            if not is_at_least(host["packaging"], self.installed.get(name), str(version))
        }


def _result(transaction, earlier=()):
    changed = [*earlier, *transaction["changed"]]
    if transaction["state"] != "completed":
        raise StepFailed(transaction.get("failure") or "the package transaction failed", pm_changed=changed)
    repaired = f"; {transaction['repaired']}" if transaction.get("repaired") else ""
    return {"changed": bool(changed), "msg": f"{len(changed)} packages changed{repaired}", "pm_changed": changed}
