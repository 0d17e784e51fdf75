"""Named package transactions that run once and outlive the connection that began them."""

from __future__ import annotations

import os
import re
import subprocess
import time

from ansible_collections.datacenteros.patch.plugins.module_utils.detached import Detached
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words
from ansible_collections.datacenteros.patch.plugins.module_utils.locks import lock_holder, patience
from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    differences,
    package_system,
    refresh_problem,
    versions,
)

FOLDER = "/var/lib/patch-manager/transactions"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,199}\Z")
LONGEST_FAILURE = 1000
VERBS = ("install", "upgrade", "downgrade")


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


def running_transactions(folder=FOLDER):
    """Names of the platform's transactions that run on this host now; `None` if their records cannot be read."""
    try:
        names = sorted(name[: -len(".json")] for name in os.listdir(folder) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    except OSError:
        return None
    records = ((name, Detached(folder, name).read()) for name in names)
    return [name for name, record in records if record is not None and record["state"] == "running"]


class Work:
    """Repair, refresh, install, or only refresh and download; the versions before and after show what changed."""

    def __init__(self, transaction, order, record):
        self.transaction, self.order, self.record = transaction, order, record
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
        occupied = self._wait_for_lock()
        if occupied:
            return occupied
        if self.record["before"] is None:
            self.record["before"] = versions(self.system.installed())
        if self.order["mode"] == "download":
            return self._refresh() or self._note_newer() or self._download()
        self._phase("repairing")
        self.record["repaired"], problem = self.system.repair()
        if problem:
            return "the package database is damaged and cannot be repaired: {0}".format(problem)
        if self.order["mode"] == "repair":
            return None
        if self.order["mode"] == "commands":
            return self._run_commands()
        failure = (self._refresh() or self._note_newer()) if self.order.get("refresh", True) else None
        if failure:
            return failure
        self._phase("installing")
        command, reason = self._command()
        if command is not None and self._is_planned():
            reason = self.system.refusal(self.order["packages"], self.order["removals"], self._pinned())
        if reason or command is None:
            return reason
        # What the package manager's history says about an interrupted attempt; only for operators.
        self.record["was_done"] = self.system.was_done(self.transaction.name)
        return self._run_command(command)

    def _refresh(self):
        self._phase("refreshing")
        return refresh_problem(self.system)

    def _download(self):
        """Fetches the files of the update, so that it needs no network while services are stopped."""
        if not self.order["packages"]:
            return None
        self._phase("downloading")
        order, pinned = self.order, self._pinned()
        reason = self.system.refusal(order["packages"], order["removals"], pinned) if pinned else None
        if reason:
            return reason
        command = self.system.exact(
            order["packages"], self.transaction.name, removals=order["removals"], download=True, pinned=pinned,
        )
        return self._run_command(command)

    def _pinned(self):
        # An order that an earlier version of the platform stored has none.
        return self.order.get("pinned") or None

    def _note_newer(self):
        """Notes the versions on offer that are not the pinned ones; never a failure."""
        pinned = self._pinned()
        if pinned:
            packages = [package for package in self.system.installed() if package["name"] in pinned]
            if self.system.describe(packages) is None:
                offered = {package["name"]: package["candidate"] for package in packages if package["candidate"]}
                self.record["newer"] = [{"package": name, "version": offered[name]} for name in sorted(offered)]

    def _run_commands(self):
        """The site's own update. What it changes shows in the packages before and after it."""
        self._phase("running")
        seconds = self.order["timeout_seconds"]
        deadline = time.monotonic() + seconds
        for argv in self.order["commands"]:
            left = deadline - time.monotonic()
            limit = ["timeout", "--kill-after=10", "--", "{0:.1f}".format(max(left, 0.1))] if seconds else []
            try:
                code, out, err = self.run_logged([*limit, *argv])
            except OSError as error:
                return "`{0}` cannot be run: {1}".format(argv[0], error.strerror)
            if code == 124 and limit:
                return "`{0}` did not end within {1:g} s".format(argv[0], seconds)
            if code != 0:
                return first_words("`{0}` ended with exit status {1}".format(" ".join(argv), code), code, err or out, LONGEST_FAILURE)
        return None

    def _run_command(self, command):
        code, out, err = self.run_logged(command)
        if code in self.system.AGAIN:
            code, out, err = self.run_logged(command)
        return None if code in self.system.DONE else first_words(self._name(command), code, out + err, LONGEST_FAILURE)

    def _name(self, command):
        """`apt-get install`: dnf may run inside a program of the platform."""
        verb = next((word for word in command if word in VERBS), "")
        return "{0} {1}".format(self.system.TOOL, verb).strip()

    def _command(self):
        order = self.order
        if order["mode"] == "downgrade":
            return self.system.exact(order["packages"], self.transaction.name, downgrade=True), None
        if order["selection"] == "planned":
            if not order["packages"]:
                return None, None
            cached = not order.get("refresh", True)
            command = self.system.exact(
                order["packages"], self.transaction.name, removals=order["removals"], cached=cached, pinned=self._pinned(),
            )
            return command, None
        return self.system.selected(order["selection"], order["advisories"], self.transaction.name)

    def _is_planned(self):
        return self.order["mode"] == "upgrade" and self.order["selection"] == "planned"

    def _wait_for_lock(self):
        """Why the locks did not become free in time."""
        began = time.monotonic()
        while True:
            holder = lock_holder(self.system.LOCKS)
            if holder is None:
                return None
            if time.monotonic() - began > patience(holder):
                return "{0} has held the package lock `{1}` for more than {2} s".format(
                    holder["text"], holder["path"], patience(holder)
                )
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
        return done.returncode, out, err

    def run_logged(self, argv):
        log("$ " + " ".join(argv))
        code, out, err = self._run(argv)
        log(out + err)
        return code, out, err


def log(text):
    """A full disk costs the log, and not the result."""
    try:
        print(text, flush=True)
    except OSError:
        pass
