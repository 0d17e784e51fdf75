"""Named package transactions that run once and outlive the connection that began them."""

from __future__ import annotations

import os
import re
import subprocess
import time

from ansible_collections.datacenteros.patch.plugins.module_utils.detached import Detached
from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    differences,
    lock_holder,
    package_system,
    versions,
)

FOLDER = "/var/lib/patch-manager/transactions"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,199}\Z")
LOCK_TIMEOUT_SECONDS = 120


class Transaction(Detached):
    def __init__(self, name, folder=FOLDER):
        if not NAME.match(name):
            raise ValueError("`{0}` is not a valid transaction name".format(name))
        super().__init__(folder, name.replace(":", "_"))
        self.name = name

    def first_record(self, known):
        """Keeps the versions from before an interrupted attempt."""
        return {
            "phase": "waiting", "began_at": int(time.time()), "failure": None, "changed": [], "repaired": None,
            "began_times": known.get("began_times", 0) + 1, "before": known.get("before"), "was_done": known.get("was_done"),
        }

    def work(self, order, record):
        Work(self, order, record).perform()


class Work:
    """Repair, refresh, install; the versions before and after show what changed."""

    def __init__(self, transaction, order, record):
        self.transaction, self.order, self.record = transaction, order, record
        self.output = ""
        self.system = package_system(self._run)

    def perform(self):
        try:
            failure = self._work()
        except Exception as error:  # Any error: without a result the transaction would count as interrupted.
            failure = "{0}: {1}".format(type(error).__name__, error)
        try:
            after = versions(self.system.installed())
            self.record["changed"] = differences(self.record["before"] or after, after)
        except Exception as error:
            failure = failure or "the changed packages cannot be read: {0}".format(error)
        self.record.update(state="failed" if failure else "completed", phase="done", failure=failure)
        self.record["ended_at"] = int(time.time())
        self.transaction.store(self.record)

    def _work(self):
        holder = self._wait_for_lock()
        if holder:
            return "another program has held the package lock `{0}` for more than {1} s".format(holder, LOCK_TIMEOUT_SECONDS)
        if self.record["before"] is None:
            self.record["before"] = versions(self.system.installed())
        self._phase("repairing")
        self.record["repaired"], problem = self.system.repair()
        if problem:
            return "the package database is damaged and cannot be repaired: {0}".format(problem)
        if self.order["mode"] == "repair":
            return None
        self._phase("refreshing")
        code = self.system.refresh()[0]
        if code != 0:
            return "the package lists cannot be refreshed: {0}".format(self._failure_output(code))
        self._phase("installing")
        command, reason = self._command()
        if command is not None and self._is_planned():
            reason = self.system.refusal(self.order["packages"], self.order["removals"])
        if reason or command is None:
            return reason
        # What the package manager's history says about an interrupted attempt; only for operators.
        self.record["was_done"] = self.system.was_done(self.transaction.name)
        code = self.run_logged(command)[0]
        if code in self.system.AGAIN:
            code = self.run_logged(command)[0]
        return None if code in self.system.DONE else self._failure_output(code)

    def _command(self):
        order = self.order
        if order["mode"] == "downgrade":
            return self.system.exact(order["packages"], self.transaction.name, downgrade=True), None
        if order["selection"] == "planned":
            if not order["packages"]:
                return None, None
            return self.system.exact(order["packages"], self.transaction.name, removals=order["removals"]), None
        return self.system.selected(order["selection"], order["advisories"], self.transaction.name)

    def _is_planned(self):
        return self.order["mode"] == "upgrade" and self.order["selection"] == "planned"

    def _wait_for_lock(self):
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            holder = lock_holder(self.system.LOCKS)
            if holder is None or time.monotonic() > deadline:
                return holder
            time.sleep(1)

    def _phase(self, phase):
        self.record["phase"] = phase
        self.transaction.store(self.record)

    def _run(self, argv):
        """Runs a command whose output is parsed; `run_logged` also writes it to the log."""
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **ENVIRONMENT},
        )
        out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        self.output = out + err
        return done.returncode, out, err

    def run_logged(self, argv):
        print("$", " ".join(argv), flush=True)
        code, out, err = self._run(argv)
        print(out + err, flush=True)
        return code, out, err

    def _failure_output(self, code):
        """The lines that name the error, or the last lines."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        named = [line for line in lines if re.match(r"(E:|Error|dpkg: error|Failed|Unable|No match|nothing provides|Problem|No provider)", line)]
        text = "; ".join((named or lines)[-6:])
        return text[-1500:] or "exit status {0}".format(code)
