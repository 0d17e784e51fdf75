"""A real host, whose inside is reached by modules over SSH."""

from __future__ import annotations

import time

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words
from ansible_collections.datacenteros.patch.plugins.plugin_utils.errors import HostUnreachable, StepFailed, Superseded
from ansible_collections.datacenteros.patch.plugins.plugin_utils.host import Host

# A query about a transaction waits this long on the host, so that a long transaction needs few connections.
QUERY_SECONDS = 5
# A call that failed after this time failed because ssh's keep-alives had no answer for nine seconds.
SILENCE_SECONDS = 8
SILENCES = ("not responding", "timed out")
# Characters of what a command said, and of a command, in a message.
LONGEST_SAID = 1000
LONGEST_COMMAND = 200
# Failures that another try does not change.
REFUSALS = ("Host key verification failed", "Permission denied", "Too many authentication failures")


class SshHost(Host):
    def __init__(self, settings, action, task_vars):
        super().__init__(settings)
        self.action = action
        self.task_vars = task_vars

    def inspect(self, packages=True, refresh=False, stale=False):
        """Packages, services, boot, disk, clock and package lock, in the shape of the sim-engine's guest:

        `os packaging boot_id booted_at disk_free_percent clock_offset_ms packages services`, and also `package_lock` (its
        holder) and `package_database_problem`, both `None` when all is well, and `reboot_facts`, which the platform judges.
        Without packages this is quick. With `stale`, also `stale_services`: those that still run deleted files.
        """
        tested = [test["service"] for test in self.settings.tests if isinstance(test, dict) and "service" in test]
        names = sorted({str(name) for name in [*self.settings.services, *tested]})
        asked = time.time()
        arguments = {"services": names, "packages": packages, "refresh": refresh, "stale": stale}
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

    def reexecute_manager(self):
        """The service manager starts itself again and keeps its services."""
        self.run_command(["systemctl", "daemon-reexec"])

    def run_command(self, argv, timeout_seconds=None):
        # `timeout` runs on the host, because without a connection the command would continue there.
        limit = ["timeout", "--kill-after=10", "--", f"{timeout_seconds:g}"] if timeout_seconds else []
        try:
            result = self._module("ansible.builtin.command", {"argv": [*limit, *argv]})
        except StepFailed as error:
            code = error.facts.get("pm_code")
            if code == 124 and limit:
                raise StepFailed(f"`{argv[0]}` did not end within {timeout_seconds:g} s") from None
            if code is None:
                raise StepFailed(f"`{shown(argv)}` cannot be run: {error}", **error.facts) from None
            said = error.facts.get("pm_said")
            raise StepFailed(f"`{shown(argv)}` ended with exit status {code}{': ' + said if said else ''}", pm_code=code) from None
        return (result.get("stdout") or "")[-2000:]

    def find_transaction(self, number=1):
        return self._packages({"name": self.transaction_name(number), "wait_seconds": 0})

    def finish_transaction(self, transaction, number=1):
        return self._until_ended(transaction, self.transaction_name(number))

    def begin_transaction(self, number, order):
        """Begins a transaction exactly once and follows it to its end. One that a crash of the host interrupted is
        repaired and continued."""
        for _attempt in range(3):
            name = self.transaction_name(number) + order.get("suffix", "")
            arguments = {key: value for key, value in order.items() if key != "suffix"}
            transaction = self._packages({"name": name, "begin": True, "wait_seconds": QUERY_SECONDS, **arguments})
            transaction = self._until_ended(transaction, name)
            if transaction is not None and transaction["state"] != "interrupted":
                return transaction
        raise StepFailed("the package transaction was interrupted three times; check the host")

    def begin_once(self, number, order):
        """Begins work that is never repeated, and follows it to its end."""
        name = self.transaction_name(number)
        known = self._packages({"name": name, "wait_seconds": 0})
        if known is None:
            known = self._packages({"name": name, "begin": True, "wait_seconds": QUERY_SECONDS, **order})
        ended = self._until_ended(known, name)
        if ended is None or ended["state"] == "interrupted":
            raise StepFailed("the host stopped in the middle of the update; it is not repeated: check the host")
        return ended

    def foresee(self, packages):
        """What the package manager would do to bring these packages to these versions; changes nothing."""
        arguments = {"packages": packages, "pinned": self.settings.pinned, "revisions": self.settings.revisions}
        return self._module("datacenteros.patch.foresee", arguments)["foreseen"]

    def preflight(self, packages, refresh):
        """What decides whether the host is ready for an update of these packages."""
        return self._module("datacenteros.patch.preflight", {"packages": packages, "refresh": refresh})["facts"]

    def run_raw(self, line, failure):
        """Runs a line of the platform's own in the shell of the host, which needs no Python. Never a text of a user."""
        result = self._action("ansible.builtin.raw", {"_raw_params": line})
        if result.get("unreachable"):
            raise HostUnreachable(str(result.get("msg", "no answer over SSH")))
        code = result.get("rc")
        if code is None:
            raise StepFailed(f"{failure}: {result.get('msg')}")
        if code != 0:
            output = f"{result.get('stdout') or ''}\n{result.get('stderr') or ''}"
            raise StepFailed(f"{failure}: {first_words(shown([line]), code, output, LONGEST_SAID)}", pm_code=code)

    def _action(self, name, arguments):
        """The result of one of Ansible's own actions."""
        task = self.action._task.copy()
        task.args = arguments
        return self.action._shared_loader_obj.action_loader.get(
            name,
            task=task,
            connection=self.action._connection,
            play_context=self.action._play_context,
            loader=self.action._loader,
            templar=self.action._templar,
            shared_loader_obj=self.action._shared_loader_obj,
        ).run(task_vars=self.task_vars)

    def reboot(self, boot_id):
        """Returns when the host is back: Ansible's own action sends the reboot and waits."""
        result = self._action("ansible.builtin.reboot", {"reboot_timeout": int(self.settings.reboot_timeout_seconds)})
        if result.get("failed") and self.try_inspect() is None:
            raise HostUnreachable(f"{self.settings.reboot_timeout_seconds:g} s after the reboot began")
        if result.get("failed"):
            raise StepFailed(f"the reboot failed: {result.get('msg')}")

    def revert(self, snapshot_id):
        super().revert(snapshot_id)
        self.action._connection.reset()

    def finish_packages(self):
        """Waits until the package manager is idle, and repairs an interrupted transaction."""
        transaction, number = self.last_transaction()
        transaction = self.finish_transaction(transaction, number)
        is_interrupted = transaction is not None and transaction["state"] == "interrupted"
        if is_interrupted or self.inspect()["package_database_problem"]:
            # With the same name, changes count from before the interruption.
            suffix = "" if is_interrupted else f":repair-{int(time.time())}"
            repaired = self.begin_transaction(max(number, 1), {"mode": "repair", "suffix": suffix})
            if repaired["state"] != "completed":
                raise StepFailed(repaired["failure"])
            transaction = repaired if is_interrupted else transaction
        deadline = time.monotonic() + self.settings.patch_timeout_seconds
        while (holder := self.inspect(packages=False)["package_lock"]) is not None:
            if time.monotonic() > deadline:
                raise StepFailed(f"{holder['text']} still holds the package lock `{holder['path']}`")
            time.sleep(2)
        return transaction

    def _until_ended(self, transaction, name):
        return self.until_ended(transaction, lambda: self._packages({"name": name, "wait_seconds": QUERY_SECONDS}))

    def _packages(self, arguments):
        owner = {"run": str(self.settings.run_id), "epoch": self.settings.epoch}
        return self._module("datacenteros.patch.packages", {**owner, **arguments})["transaction"]

    def _module(self, name, arguments):
        """Retries for a moment, because a host that starts refuses connections. A silent host was waited for already."""
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
            # The host answers, but the module could not start there.
            raise _failure(name, {"msg": str(error)}, self.task_vars) from error
        if result.get("unreachable"):
            raise HostUnreachable(str(result.get("msg", "no answer over SSH")))
        if result.get("superseded"):
            raise Superseded(str(result.get("msg")))
        if result.get("failed"):
            raise _failure(name, result, self.task_vars)
        return result


def explain(message, task_vars):
    """ssh's error, reworded so that it says what to do."""
    host = task_vars.get("inventory_hostname", "the host")
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in message:
        return (
            f"`{host}` shows another host key than the CMDB has: another machine may answer in its place; if it was"
            " reinstalled, set its attribute `host_key`, or remove the attribute to learn the new key"
        )
    if "Host key verification failed" in message:
        return f"the host key of `{host}` is unknown, and learning it is not allowed; set its attribute `host_key` in the CMDB"
    if "Permission denied" in message:
        return f"`{host}` refuses the key of user `{task_vars.get('ansible_user', 'root')}`"
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("@")]
    return f"the host does not answer: {'; '.join(lines)[-500:]}"


def unreachable_reason(error, task_vars):
    """Why a host does not answer, in words that say what to do."""
    if isinstance(error, AnsibleConnectionFailure):
        return explain(str(error), task_vars)
    return f"the host does not answer: {error}"


def shown(argv):
    """A command as one line, with its first words."""
    line = " ".join(str(word) for word in argv)
    return line if len(line) <= LONGEST_COMMAND else line[:LONGEST_COMMAND] + "…"


def _failure(name, result, task_vars):
    """Why a module failed. `pm_check` is the check of preflight that finds it, `pm_said` what a command said first."""
    said = [str(result[key]).strip() for key in ("stderr", "module_stderr", "module_stdout", "stdout") if result.get(key)]
    text = ": ".join([str(result.get("msg") or f"{name} failed"), *(part[:LONGEST_SAID] for part in said[:3])])
    message = str(result.get("msg") or "")
    first = "; ".join(said[0].splitlines()[:4]) if said else message.replace("non-zero return code", "")
    facts = {"pm_code": result.get("rc"), "pm_said": first[:LONGEST_SAID]}
    user = task_vars.get("ansible_user")
    if "Incorrect sudo password" in text:
        return StepFailed(f"user `{user}` cannot become root with the password from the Vault", pm_check="sudo", **facts)
    if "Missing sudo password" in text or "a password is required" in text:
        reason = (
            f"user `{user}` cannot become root without a password; allow it in sudoers (NOPASSWD), or store the password in the Vault"
        )
        return StepFailed(reason, pm_check="sudo", **facts)
    # A module that ran has an answer of its own; a shell that finds no interpreter ends with one of these.
    if result.get("rc") in (126, 127) and "module_stdout" in result or "interpreter" in text:
        reason = (
            "missing: Python cannot be started on the host; install it, set the attribute `python` of the host, or let its policy"
            f" install it with `workflow.bootstrap_python`: {text}"
        )
        return StepFailed(reason, pm_check="python", **facts)
    return StepFailed(text, **facts)


def _offset_ms(clock, asked, answered):
    """Offset to the controller's clock: 0 when the host's time is between query and answer, else how far outside."""
    if clock < asked:
        return int((clock - asked) * 1000)
    return int((clock - answered) * 1000) if clock > answered else 0
