"""What the hosts of both drivers share: names of package transactions, the wait for their end, snapshots."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils import judge
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import StepFailed


class Host:
    def __init__(self, settings):
        self.settings = settings

    def find_transaction(self, number=1):
        """The transaction of this run, attempt and try, or `None` when it never began."""
        raise NotImplementedError

    def transaction_name(self, number):
        """The name of the number-th try of this run and attempt."""
        name = f"{self.settings.run_id}:{self.settings.attempt}"
        return name if number == 1 else f"{name}:{number}"

    def last_transaction(self):
        """The newest of this run and attempt with its number; `(None, 0)` when none began."""
        last, number = None, 0
        while (found := self.find_transaction(number + 1)) is not None:
            last, number = found, number + 1
        return last, number

    def until_ended(self, transaction, read_again):
        """Waits until the transaction has ended, even after a request to stop: half a transaction is not a safe state."""
        deadline = time.monotonic() + self.settings.patch_timeout_seconds
        while transaction is not None and transaction["state"] == "running":
            if time.monotonic() > deadline:
                raise StepFailed(f"the package transaction still runs after {self.settings.patch_timeout_seconds:g} s")
            transaction = read_again()
        return transaction

    def reboot_verdict(self, host):
        """The platform's verdict on an inspected host: `state` (`needed`, `not_needed`, `unknown`), `text`, and `after_boot`,
        which is what the facts mean right after a boot (`done`, `still_requested`, `old_kernel`)."""
        facts = host.get("reboot_facts") or {"reported": host["reboot_pending"]}
        question = {"question": "reboot", "packaging": host["packaging"], "facts": facts}
        return judge.ask(self.settings.judge_socket, question)

    def restarts(self, stale):
        """What the platform lets the host do about its stale services: `services` to restart, and `reexecute`."""
        settings = self.settings
        listed = sorted({str(name) for name in [*settings.services, *settings.restart_service_names]})
        question = {"question": "restarts", "stale": stale, "rule": settings.restart_services, "listed": listed}
        return judge.ask(settings.judge_socket, question)

    def sim_engine(self):
        settings = self.settings
        return Api("sim-engine", settings.sim_url, settings.token_file, settings.api_retry_seconds)

    def revert(self, snapshot_id):
        # Snapshots of a machine belong to the hypervisor, whatever driver its inside has.
        path = f"/sim/vms/{segment(self.settings.vm_id)}/snapshots/{segment(snapshot_id)}/revert"
        expect(self.sim_engine().call("POST", path), "the snapshot cannot be restored")
