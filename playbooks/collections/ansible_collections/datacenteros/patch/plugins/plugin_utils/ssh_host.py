"""A real host: its inside is reached by modules over SSH."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.datacenteros.patch.plugins.plugin_utils.api import Api, expect, segment
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed

# One question about a transaction waits this long on the host, so that a long one costs few connections.
LOOK_SECONDS = 5
# A call that failed after this time failed because ssh's keep-alives, nine seconds of them, had no answer.
SILENCE_SECONDS = 8
SILENCES = ("not responding", "timed out")
# What a host does not get over by being asked again.
REFUSALS = ("Host key verification failed", "Permission denied", "Too many authentication failures")


class SshHost:
    def __init__(self, settings, action, task_vars):
        self.settings = settings
        self.action = action
        self.task_vars = task_vars

    def inspect(self, packages=True, refresh=False):
        """Packages, services, boot, disk, clock and package lock, in the shape of the sim-engine's guest:

        `os packaging boot_id booted_at reboot_pending disk_free_percent clock_offset_ms packages services`, and beside
        it `package_lock` (who holds it) and `package_database_problem`, both absent when all is well. Without packages
        it is a quick look at the rest.
        """
        tested = [test["service"] for test in self.settings.tests if isinstance(test, dict) and "service" in test]
        names = sorted({str(name) for name in [*self.settings.services, *tested]})
        asked = time.time()
        arguments = {"services": names, "packages": packages, "refresh": refresh}
        host = self._module("datacenteros.patch.inspect", arguments)["host"]
        if host["clock_offset_ms"] is None:
            host["clock_offset_ms"] = _offset_ms(host["clock"], asked, time.time())
        return host

    def try_inspect(self):
        try:
            return self._once("datacenteros.patch.inspect", {"services": [], "packages": False})["host"]
        except (AnsibleConnectionFailure, HostUnreachable):
            self.action._connection.reset()
            return None

    def control_service(self, name, action):
        state = {"start": "started", "stop": "stopped", "restart": "restarted"}[action]
        self._module("ansible.builtin.systemd_service", {"name": name, "state": state})

    def run_command(self, argv, timeout_seconds=None):
        # Ended on the host itself: without a connection it would go on there.
        limit = ["timeout", "--kill-after=10", f"{timeout_seconds:g}"] if timeout_seconds else []
        try:
            result = self._module("ansible.builtin.command", {"argv": [*limit, *argv]})
        except StepFailed as error:
            if error.facts.get("pm_code") == 124 and limit:
                raise StepFailed(f"`{argv[0]}` did not end within {timeout_seconds:g} s") from None
            raise
        return (result.get("stdout") or "")[-2000:]

    def transaction_name(self, number):
        """The name of the number-th try of this run and attempt."""
        name = f"{self.settings.run_id}:{self.settings.attempt}"
        return name if number == 1 else f"{name}:{number}"

    def find_transaction(self, number=1):
        """The transaction of this run, attempt and try, or `None` when it never began."""
        return self._packages({"name": self.transaction_name(number), "wait_seconds": 0})

    def last_transaction(self):
        """The newest of this run and attempt with its number; `(None, 0)` when none began."""
        last, number = None, 0
        while (found := self.find_transaction(number + 1)) is not None:
            last, number = found, number + 1
        return last, number

    def finish_transaction(self, transaction, number=1):
        """Waits until the transaction runs no more. A stop does not end the waiting: half a transaction is no state."""
        deadline = time.monotonic() + self.settings.patch_timeout_seconds
        while transaction is not None and transaction["state"] == "running":
            if time.monotonic() > deadline:
                raise StepFailed(f"the package transaction still runs after {self.settings.patch_timeout_seconds:g} s")
            transaction = self._packages({"name": self.transaction_name(number), "wait_seconds": LOOK_SECONDS})
        return transaction

    def begin_transaction(self, number, order):
        """Begins it, once whatever happens, and follows it to its end; one that the host's death cut short is repaired
        and brought to its end."""
        for _life in range(3):
            name = self.transaction_name(number) + order.get("suffix", "")
            arguments = {key: value for key, value in order.items() if key != "suffix"}
            transaction = self._packages({"name": name, "begin": True, "wait_seconds": LOOK_SECONDS, **arguments})
            deadline = time.monotonic() + self.settings.patch_timeout_seconds
            while transaction is not None and transaction["state"] == "running":
                if time.monotonic() > deadline:
                    late = f"{self.settings.patch_timeout_seconds:g} s"
                    raise StepFailed(f"the package transaction still runs after {late}")
                transaction = self._packages({"name": name, "wait_seconds": LOOK_SECONDS})
            if transaction is not None and transaction["state"] != "interrupted":
                return transaction
        raise StepFailed("the package transaction was cut short three times; look at the host")

    def reboot(self, boot_id):
        """Returns when the host is back: Ansible's own action sends the reboot and waits."""
        task = self.action._task.copy()
        task.args = {"reboot_timeout": int(self.settings.reboot_timeout_seconds)}
        result = self.action._shared_loader_obj.action_loader.get(
            "ansible.builtin.reboot",
            task=task,
            connection=self.action._connection,
            play_context=self.action._play_context,
            loader=self.action._loader,
            templar=self.action._templar,
            shared_loader_obj=self.action._shared_loader_obj,
        ).run(task_vars=self.task_vars)
        if result.get("failed") and self.try_inspect() is None:
            raise HostUnreachable(f"{self.settings.reboot_timeout_seconds:g} s after the order to reboot")
        if result.get("failed"):
            raise StepFailed(f"the reboot failed: {result.get('msg')}")

    def revert(self, snapshot_id):
        # The machine's snapshots are the hypervisor's, whatever driver its inside has.
        api = Api("sim-engine", self.settings.sim_url, self.settings.token_file, self.settings.api_retry_seconds)
        path = f"/sim/vms/{segment(self.settings.vm_id)}/snapshots/{segment(snapshot_id)}/revert"
        expect(api.call("POST", path), "the snapshot cannot be restored")
        self.action._connection.reset()

    def settle_packages(self):
        """Waits for the package manager to let go, and repairs what was left half done."""
        transaction, number = self.last_transaction()
        transaction = self.finish_transaction(transaction, number)
        is_torn = transaction is not None and transaction["state"] == "interrupted"
        if is_torn or self.inspect()["package_database_problem"]:
            # Under the same name, so that what has changed counts from before the interruption.
            order = {"mode": "repair"} if is_torn else {"mode": "repair", "suffix": f":repair-{int(time.time())}"}
            repaired = self.begin_transaction(max(number, 1), order)
            if repaired["state"] != "completed":
                raise StepFailed(repaired["failure"])
            transaction = repaired if is_torn else transaction
        deadline = time.monotonic() + self.settings.patch_timeout_seconds
        while (holder := self.inspect(packages=False)["package_lock"]) is not None:
            if time.monotonic() > deadline:
                raise StepFailed(f"the package lock is still held by {holder}")
            time.sleep(2)
        return transaction

    def _packages(self, arguments):
        return self._module("datacenteros.patch.packages", arguments)["transaction"]

    def _module(self, name, arguments):
        """A host that starts anew refuses connections for a moment; one that went silent has been waited for already."""
        first_failure = None
        while True:
            asked = time.monotonic()
            try:
                return self._once(name, arguments)
            except (AnsibleConnectionFailure, HostUnreachable) as error:
                first_failure = first_failure or time.monotonic()
                is_final = any(text in str(error) for text in (*REFUSALS, *SILENCES))
                is_final = is_final or time.monotonic() - asked > SILENCE_SECONDS
                if is_final or time.monotonic() - first_failure > self.settings.unreachable_seconds:
                    raise
            self.action._connection.reset()
            time.sleep(1)

    def _once(self, name, arguments):
        try:
            result = self.action._execute_module(module_name=name, module_args=arguments, task_vars=self.task_vars)
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as error:
            # It answers, and the module could not be started on it.
            raise StepFailed(_reason(name, {"msg": str(error)}, self.task_vars)) from error
        if result.get("unreachable"):
            raise HostUnreachable(str(result.get("msg", "no answer over SSH")))
        if result.get("failed"):
            raise StepFailed(_reason(name, result, self.task_vars), pm_code=result.get("rc"))
        return result


def explain(message, task_vars):
    """What ssh said, in words that say what to do."""
    host = task_vars.get("inventory_hostname", "the host")
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in message:
        return (
            f"`{host}` shows another host key than the CMDB knows: somebody else may answer in its place; when it was"
            " installed anew, set its attribute `host_key`, or remove it to have the new key learned"
        )
    if "Host key verification failed" in message:
        return f"the host key of `{host}` is not known and none is learned; set its attribute `host_key` in the CMDB"
    if "Permission denied" in message:
        return f"`{host}` refuses the key of user `{task_vars.get('ansible_user', 'root')}`"
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("@")]
    return f"the host does not answer: {'; '.join(lines)[-500:]}"


def _reason(name, result, task_vars):
    parts = [str(result.get("msg") or f"{name} failed")]
    parts.extend(str(result[key])[-1000:] for key in ("stderr", "module_stderr", "module_stdout") if result.get(key))
    text = ": ".join(parts)
    if "Missing sudo password" in text or "a password is required" in text:
        return f"user `{task_vars.get('ansible_user')}` cannot become root without a password; allow it in sudoers (NOPASSWD)"
    return text


def _offset_ms(clock, asked, answered):
    """Against the controller's clock: nothing when the host's time lies within the question, else how far outside."""
    if clock < asked:
        return int((clock - asked) * 1000)
    return int((clock - answered) * 1000) if clock > answered else 0
