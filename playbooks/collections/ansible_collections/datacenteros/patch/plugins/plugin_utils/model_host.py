"""A host of the `model` driver: its inside is reached through the sim-engine's guest API."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed


class ModelHost:
    def __init__(self, settings):
        self.settings = settings
        self.api = Api("sim-engine", settings.sim_url, settings.token_file, settings.api_retry_seconds)
        self.vm = "/sim/vms/" + segment(settings.vm_id)

    def inspect(self, packages=True, refresh=False):
        """The guest as it is, whatever is asked for; see `inspect` of the `ssh` host for the shape."""
        guest = self._patient(lambda: expect(self.api.get(self.vm + "/guest"), "the guest cannot be read"))
        # A model guest has one package database and one writer, so neither lock nor damage exists in it.
        return {"package_lock": None, "package_database_problem": None, **guest}

    def try_inspect(self):
        """The guest, or `None` while it does not answer."""
        answer = self.api.get(self.vm + "/guest")
        return None if answer.is_guest_silent else expect(answer, "the guest cannot be read")

    def control_service(self, name, action):
        path = f"{self.vm}/guest/services/{segment(name)}"
        self._patient(lambda: expect(self.api.call("POST", path, {"action": action}), f"cannot {action} service `{name}`"))

    def start_transaction(self, packages, number=1):
        """The transaction, or `None` while another one holds the package lock."""
        body = {"transaction_id": self.transaction_name(number), "packages": packages}
        path = self.vm + "/guest/transactions"

        def start():
            answer = self.api.call("POST", path, body)
            locked = answer.status == 409 and "transaction-in-progress" in str((answer.body or {}).get("type"))
            return None if locked else expect(answer, "the package transaction was refused")

        return self._patient(start)

    def find_transaction(self, number=1):
        """The transaction of this run, attempt and try, or `None` when it never began."""
        path = f"{self.vm}/guest/transactions/{segment(self.transaction_name(number))}"

        def read():
            answer = self.api.get(path)
            return None if answer.status == 404 else expect(answer, "the package transaction cannot be read")

        return self._patient(read)

    def finish_transaction(self, transaction, number=1):
        """Waits until the transaction runs no more. A stop does not end the waiting: half a transaction is no state."""
        deadline = time.monotonic() + self.settings.patch_timeout_seconds
        pause = 0.1
        while transaction is not None and transaction["state"] == "running":
            if time.monotonic() > deadline:
                raise StepFailed(f"the package transaction still runs after {self.settings.patch_timeout_seconds:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)
            transaction = self.find_transaction(number)
        return transaction

    def reboot(self, boot_id):
        """Asks for it; with the boot id, asking twice reboots once."""
        answer = self.api.call("POST", self.vm + "/guest/reboot", {"boot_id": boot_id})
        # Silent already means it reboots already.
        if not answer.is_guest_silent:
            expect(answer, "the reboot was refused")

    def revert(self, snapshot_id):
        path = f"{self.vm}/snapshots/{segment(snapshot_id)}/revert"
        expect(self.api.call("POST", path), "the snapshot cannot be restored")

    def settle_packages(self):
        number = 1
        while self.find_transaction(number + 1) is not None:
            number += 1
        return self.finish_transaction(self.find_transaction(number), number)

    def transaction_name(self, number):
        name = f"{self.settings.run_id}:{self.settings.attempt}"
        return name if number == 1 else f"{name}:{number}"

    def _patient(self, call):
        """A guest may be silent for a moment; only one that stays silent is unreachable."""
        deadline = time.monotonic() + self.settings.unreachable_seconds
        while True:
            try:
                return call()
            except HostUnreachable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)
