"""Work on a host that outlives the connection that began it, known by name, done once.

It is done by a process of its own, which holds a lock as long as it lives and writes down how far it is. Whoever comes later,
be it after a lost connection or a crash of the controller, finds out by the name what became of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time

MOST_KEPT = 50


class Detached:
    """`state` is `running`, `completed`, `failed`, or `interrupted` when its process ended without a word."""

    def __init__(self, folder, name):
        self.folder = folder
        self.base = os.path.join(folder, name)

    def first_record(self, known):
        """What is written down when it begins, besides the state; `known` is of a life before, which was interrupted."""
        raise NotImplementedError

    def work(self, order, record):
        """Does it, in a process of its own, and stores how it ended. What is printed goes to its log."""
        raise NotImplementedError

    def look(self):
        """What is known of it; `None` when it never began here."""
        record = read(self.base + ".json")
        if record is not None and record["state"] == "running" and not self._is_locked():
            # It may have ended between the two looks.
            record = read(self.base + ".json") or record
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
        """Begins it, unless it has been begun before. One that was interrupted is begun again."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        lock = os.open(self.base + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if is_taken(lock):
                # It runs, or somebody else begins it at this moment.
                return
            known = read(self.base + ".json")
            # What says that it runs, and was not locked, was interrupted.
            if known is None or known["state"] == "running":
                record = {"state": "running", **self.first_record(known or {})}
                self.store(record)
                self._remove_oldest()
                if os.fork() == 0:
                    self._work_apart(order, record)
        finally:
            os.close(lock)

    def store(self, record):
        write(self.base + ".json", record)

    def _work_apart(self, order, record):
        """The process of its own; it never returns."""
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

    def _remove_oldest(self):
        records = [os.path.join(self.folder, name) for name in os.listdir(self.folder) if name.endswith(".json")]
        for path in sorted(records, key=os.path.getmtime)[:-MOST_KEPT]:
            for ending in (".json", ".log", ".lock"):
                try:
                    os.remove(path[: -len(".json")] + ending)
                except OSError:
                    pass


def is_taken(file):
    """Whether somebody else has the lock of a file; else it is taken, until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True


def read(path):
    """What was written there; `None` when nothing was, or not all of it."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def write(path, record):
    """All of it or nothing, and it is there after a crash of the host."""
    partial = path + ".partial"
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
