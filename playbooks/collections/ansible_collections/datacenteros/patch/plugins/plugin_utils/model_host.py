"""A host of the `model` driver, whose inside is behind the sim-engine's guest API."""

from __future__ import annotations

import time

from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed, Superseded
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host import Host


class ModelHost(Host):
    def __init__(self, settings):
        super().__init__(settings)
        self.api = self.sim_engine()
        self.vm = "/sim/vms/" + segment(settings.vm_id)

    def inspect(self, packages=True, refresh=False, stale=False):
        """The whole guest, whatever the arguments; see `inspect` of the `ssh` host for the shape."""
        guest = self._patient(lambda: expect(self.api.get(self.vm + "/guest"), "the guest cannot be read"))
        # A model guest has neither package locks nor damage.
        return {"package_lock": None, "package_database_problem": None, **guest}

    def try_inspect(self):
        """The guest, or `None` while it does not answer."""
        answer = self.api.get(self.vm + "/guest")
        return None if answer.is_guest_silent else expect(answer, "the guest cannot be read")

    def control_service(self, name, action):
        path = f"{self.vm}/guest/services/{segment(name)}"
        self._patient(lambda: expect(self.api.call("POST", path, {"action": action}), f"cannot {action} service `{name}`"))

    def reexecute_manager(self):
        raise StepFailed("a model guest has no service manager")

    def start_transaction(self, packages, number=1):
        """The transaction, or `None` while another one holds the package lock."""
        body = {"transaction_id": self.transaction_name(number), "packages": packages}
        if self.settings.epoch:
            body["owner"] = {"run_id": self.settings.run_id, "epoch": self.settings.epoch}
        path = self.vm + "/guest/transactions"

        def start():
            answer = self.api.call("POST", path, body)
            return None if is_problem(answer, "transaction-in-progress") else self._accepted(answer)

        return self._patient(start)

    def find_transaction(self, number=1):
        path = f"{self.vm}/guest/transactions/{segment(self.transaction_name(number))}"

        def read():
            answer = self.api.get(path)
            return None if answer.status == 404 else expect(answer, "the package transaction cannot be read")

        return self._patient(read)

    def finish_transaction(self, transaction, number=1):
        pause = 0.1

        def read_again():
            nonlocal pause
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)
            return self.find_transaction(number)

        return self.until_ended(transaction, read_again)

    def reboot(self, boot_id):
        """Requests a reboot; with the boot id, two requests cause one reboot."""
        answer = self.api.call("POST", self.vm + "/guest/reboot", {"boot_id": boot_id})
        # A silent guest reboots already.
        if not answer.is_guest_silent:
            expect(answer, "the reboot was refused")

    def finish_packages(self):
        # An earlier owner may be about to begin a transaction; from here on the guest refuses it.
        if self.settings.epoch:
            path = f"{self.vm}/guest/runs/{segment(self.settings.run_id)}"
            self._patient(lambda: self._accepted(self.api.call("PUT", path, {"epoch": self.settings.epoch})))
        transaction, number = self.last_transaction()
        return self.finish_transaction(transaction, number)

    @staticmethod
    def _accepted(answer):
        if is_problem(answer, "run-superseded"):
            raise Superseded(answer.detail)
        return expect(answer, "the package transaction was refused")

    def _patient(self, call):
        """Repeats a call while the guest is silent; a guest that stays silent is unreachable."""
        deadline = time.monotonic() + self.settings.unreachable_seconds
        while True:
            try:
                return call()
            except HostUnreachable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


def is_problem(answer, kind):
    """Whether the service refused with a problem of this type."""
    return answer.status == 409 and str((answer.body or {}).get("type")).endswith("/" + kind)
