"""Named work on a host that runs once and outlives the connection that began it.

A process of its own does the work, holds a lock while it lives and records its progress. After a lost connection or a crash
of the controller, a later connection reads the record by its name.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time

MOST_KEPT = 50
ENDINGS = (".json", ".log", ".lock", ".reserve")
# Disk space for the record, so that the end of the work can be recorded on a disk that it has filled.
RESERVE_BYTES = 256 * 1024


class Detached:
    """`state` is `running`, `completed`, `failed`, or `interrupted` when its process ended without recording a result."""

    def __init__(self, folder, name):
        self.folder = folder
        self.base = os.path.join(folder, name)

    def first_record(self, known):
        """The record at the beginning, without the state; `known` is the record of an interrupted attempt."""
        raise NotImplementedError

    def work(self, order, record):
        """Does the work in a process of its own, and stores how it ended. Its output goes to its log."""
        raise NotImplementedError

    def read(self):
        """The record; `None` when the work never began here."""
        record = read(self.base + ".json")
        if record is not None and record["state"] == "running" and not self._is_locked():
            # It may have ended after the record was read.
            record = read(self.base + ".json") or record
            if record["state"] == "running":
                record["state"] = "interrupted"
        return record

    def wait(self, seconds):
        """The record, as soon as the work has ended or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            record = self.read()
            if record is None or record["state"] != "running" or time.monotonic() >= deadline:
                return record
            time.sleep(0.1)

    def begin(self, order):
        """Begins the work unless it began before. Interrupted work begins again."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        lock = os.open(self.base + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if is_taken(lock):
                # It runs, or another connection begins it right now.
                return
            known = read(self.base + ".json")
            # A record that says `running` without a lock was interrupted.
            if known is None or known["state"] == "running":
                record = {"state": "running", **self.first_record(known or {})}
                self.store(record)
                reserve(self.base + ".reserve", RESERVE_BYTES)
                remove_oldest(self.folder, MOST_KEPT, ENDINGS)
                if os.fork() == 0:
                    self._work_apart(order, record)
        finally:
            os.close(lock)

    def store(self, record):
        try:
            write(self.base + ".json", record)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not remove(self.base + ".reserve"):
                raise
            write(self.base + ".json", record)
        if record["state"] != "running":
            remove(self.base + ".reserve")

    def _work_apart(self, order, record):
        """Runs in the new process and never returns."""
        try:
            os.setsid()
            log = os.open(self.base + ".log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDWR)
            for number, file in ((0, null), (1, log), (2, log)):
                os.dup2(file, number)
            os.chdir("/")
            self.work(order, record)
        finally:
            os._exit(0)

    def _is_locked(self):
        try:
            with open(self.base + ".lock") as file:
                return is_taken(file)
        except OSError:
            return False


def is_taken(file):
    """Whether another process holds the lock of a file; if not, takes the lock until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True


def read(path):
    """The record in a file; `None` when it is missing or incomplete."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def write(path, record):
    """Writes the whole record or nothing; it survives a crash of the host."""
    partial = path + ".partial"
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def reserve(path, size):
    """Takes disk space; without it, the work begins all the same."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        pass


def remove(path):
    """Whether there was a file."""
    try:
        os.remove(path)
        return True
    except OSError:
        return False


def remove_oldest(folder, kept, endings):
    """Removes all but the newest records of a folder, with the files that belong to them."""
    records = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json")]
    for path in sorted(records, key=os.path.getmtime)[:-kept]:
        for ending in endings:
            remove(path[: -len(".json")] + ending)
