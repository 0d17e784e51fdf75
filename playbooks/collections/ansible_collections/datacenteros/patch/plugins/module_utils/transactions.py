"""Package transactions that outlive the connection that began them, known by name, each done once.

The work is done by a process of its own, which holds a lock as long as it lives and writes down how far it is. Whoever
comes later, be it after a lost connection or a crash of the controller, finds out by the name what became of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import time

from ansible_collections.datacenteros.patch.plugins.module_utils.package_system import (
    ENVIRONMENT,
    differences,
    lock_holder,
    package_system,
    versions,
)

FOLDER = "/var/lib/patch-manager/transactions"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,199}\Z")
MOST_KEPT = 50
LOCK_TIMEOUT_SECONDS = 120


class Transaction:
    """`state` is `running`, `completed`, `failed`, or `interrupted` when its process ended without a word."""

    def __init__(self, name, folder=FOLDER):
        if not NAME.match(name):
            raise ValueError("`{0}` cannot be the name of a transaction".format(name))
        self.name = name
        self.folder = folder
        self.base = os.path.join(folder, name.replace(":", "_"))

    def look(self):
        """What is known of it; `None` when it never began here."""
        record = self._read()
        if record is None:
            return None
        if record["state"] == "running" and not self._is_locked():
            # It may have ended between the two looks.
            record = self._read() or record
            if record["state"] == "running":
                record["state"] = "interrupted"
        return record

    def wait(self, seconds):
        """What is known of it, as soon as it runs no more or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            record = self.look()
            if record is None or record["state"] != "running" or time.monotonic() >= deadline:
                return record
            time.sleep(0.1)

    def begin(self, order):
        """Begins it, unless it has been begun before. One that was interrupted is begun again, with its first look kept."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        known = self.look()
        if known is not None and known["state"] != "interrupted":
            return
        lock = os.open(self.base + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody else begins it at this moment.
            os.close(lock)
            return
        record = {
            "state": "running", "phase": "waiting", "began_at": int(time.time()), "failure": None, "changed": [],
            "repaired": None, "began_times": (known or {}).get("began_times", 0) + 1, "before": (known or {}).get("before"),
            "was_done": (known or {}).get("was_done"),
        }
        self._write(record)
        self._remove_oldest()
        if os.fork() == 0:
            self._run_apart(order, record)
        os.close(lock)

    def _run_apart(self, order, record):
        """The process of the transaction; it never returns."""
        try:
            os.setsid()
            log = os.open(self.base + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDWR)
            for number, file in ((0, null), (1, log), (2, log)):
                os.dup2(file, number)
            os.chdir("/")
            Work(self, order, record).perform()
        finally:
            os._exit(0)

    def store(self, record):
        self._write(record)

    def _read(self):
        try:
            with open(self.base + ".json") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def _write(self, record):
        partial = self.base + ".partial"
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(record, file)
            file.flush()
            # It has to be there after a crash of the host.
            os.fsync(file.fileno())
        os.replace(partial, self.base + ".json")

    def _is_locked(self):
        try:
            with open(self.base + ".lock") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _remove_oldest(self):
        records = [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.endswith(".json")]
        for path in sorted(records, key=os.path.getmtime)[:-MOST_KEPT]:
            for ending in (".json", ".log", ".lock"):
                try:
                    os.remove(path[: -len(".json")] + ending)
                except OSError:
                    pass


class Work:
    """Repair, refresh, install; what was seen before and after tells what has changed."""

    def __init__(self, transaction, order, record):
        self.transaction, self.order, self.record = transaction, order, record
        self.output = ""
        self.system = package_system(self._run)

    def perform(self):
        try:
            failure = self._work()
        except Exception as error:  # Whatever it is: without a last word the transaction would count as interrupted.
            failure = "{0}: {1}".format(type(error).__name__, error)
        try:
            after = versions(self.system.installed())
            self.record["changed"] = differences(self.record["before"] or after, after)
        except Exception as error:
            failure = failure or "what has changed cannot be read: {0}".format(error)
        self.record.update(state="failed" if failure else "completed", phase="done", failure=failure)
        self.record["ended_at"] = int(time.time())
        self.transaction.store(self.record)

    def _work(self):
        holder = self._wait_for_lock()
        if holder:
            return "another program holds the package lock `{0}` for more than {1} s".format(holder, LOCK_TIMEOUT_SECONDS)
        if self.record["before"] is None:
            self.record["before"] = versions(self.system.installed())
        self._phase("repairing")
        self.record["repaired"], trouble = self.system.repair()
        if trouble:
            return "the package database is damaged and cannot be repaired: {0}".format(trouble)
        if self.order["mode"] == "repair":
            return None
        self._phase("refreshing")
        code = self.system.refresh()[0]
        if code != 0:
            return "the package lists cannot be refreshed: {0}".format(self._trouble(code))
        self._phase("installing")
        command, reason = self._command()
        if reason or command is None:
            return reason
        # What the package manager itself remembers of an earlier life of this transaction; for people.
        self.record["was_done"] = self.system.was_done(self.transaction.name)
        code = self.run_logged(command)[0]
        return None if code == 0 else self._trouble(code)

    def _command(self):
        order = self.order
        if order["mode"] == "downgrade":
            return self.system.exact(order["packages"], self.transaction.name, downgrade=True), None
        if order["selection"] == "planned":
            if not order["packages"]:
                return None, None
            return self.system.exact(order["packages"], self.transaction.name), None
        return self.system.selected(order["selection"], order["advisories"], self.transaction.name)

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
        """For answers that are read; commands that change something show up in the log as well."""
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

    def _trouble(self, code):
        """The lines that name the trouble, else the last ones."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        named = [line for line in lines if re.match(r"(E:|Error|dpkg: error|Failed|Unable|No match|nothing provides)", line)]
        text = "; ".join((named or lines)[-6:])
        return text[-1500:] or "exit status {0}".format(code)
