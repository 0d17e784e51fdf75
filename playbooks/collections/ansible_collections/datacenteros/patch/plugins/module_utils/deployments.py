"""Deployments of the product that outlive the connection that began them, known by their id, each done once.

The vendor's program is run by a process of its own, which holds a lock as long as it lives and writes down how it ended.
Whoever comes later, be it after a lost connection or a crash of the controller, finds out by the id what became of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import time

FOLDER = "/var/lib/patch-manager/releases"
# The vendor's; it finds what to do in its environment, and exits with 0 when the version runs.
PROGRAM = "/etc/patch-manager/deploy-release"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
MOST_KEPT = 50
LONGEST_OUTPUT = 1500


class Deployment:
    """`state` is `running`, `completed`, `failed`, or `interrupted` when its process ended without a word."""

    def __init__(self, deployment_id, folder=FOLDER):
        if not ID.match(deployment_id):
            raise ValueError("`{0}` cannot be the id of a deployment".format(deployment_id[:80]))
        self.folder = folder
        self.base = os.path.join(folder, deployment_id)

    def look(self):
        """What is known of it; `None` when it never began here."""
        record = _read(self.base + ".json")
        if record is not None and record["state"] == "running" and not self._is_locked():
            # It may have ended between the two looks.
            record = _read(self.base + ".json") or record
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

    def begin(self, program, environment, seconds):
        """Begins it, unless it has been begun before. One that was interrupted is begun again."""
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
        record = {"state": "running", "failure": None, "previous": self.installed()}
        _write(self.base + ".json", record)
        self._remove_oldest()
        if os.fork() == 0:
            self._run_apart(program, environment, seconds, record)
        os.close(lock)

    def installed(self):
        """The version that the last deployment brought here, when there was one."""
        return (_read(os.path.join(self.folder, "installed")) or {}).get("version")

    def _run_apart(self, program, environment, seconds, record):
        """The process of the deployment; it never returns."""
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            os.chdir("/")
            if self._wait_for_turn(seconds):
                record["failure"] = self._run(program, environment, seconds)
            else:
                record["failure"] = "another deployment has kept this host for more than {0} s".format(seconds)
            record["state"] = "failed" if record["failure"] else "completed"
            if record["state"] == "completed":
                _write(os.path.join(self.folder, "installed"), {"version": environment["RELEASE_VERSION"]})
            _write(self.base + ".json", record)
        finally:
            os._exit(0)

    def _wait_for_turn(self, seconds):
        """One after the other: the way back waits for the way there. The turn is kept until this process ends."""
        turn = os.open(os.path.join(self.folder, "host.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
            time.sleep(0.1)

    def _run(self, program, environment, seconds):
        """Why it failed, or nothing."""
        try:
            with open(os.open(self.base + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
                child = subprocess.Popen(
                    [program], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    env={"PATH": os.defpath + ":/usr/sbin:/sbin:/usr/local/bin", "LC_ALL": "C.UTF-8", **environment},
                    start_new_session=True,
                )
            try:
                code = child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                # With all that it began.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return "it took longer than {0} s and was ended".format(seconds)
        except OSError as error:
            return "`{0}` cannot be run: {1}".format(program, error.strerror)
        if code == 0:
            return None
        return self._last_words() or "`{0}` ended with exit status {1}".format(program, code)

    def _last_words(self):
        with open(self.base + ".log", "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LONGEST_OUTPUT))
            text = log.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "".join(c if c.isprintable() else " " for c in "; ".join(lines[-3:]))

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


def _read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _write(path, record):
    partial = path + ".partial"
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file)
        file.flush()
        # It has to be there after a crash of the host.
        os.fsync(file.fileno())
    os.replace(partial, path)
