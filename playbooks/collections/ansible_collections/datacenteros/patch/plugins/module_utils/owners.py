"""Which owner of a run may still begin something on this host.

Each owner of a run has an epoch, and a later owner has a higher one. An owner that was paused may wake up after its
successor has begun; the host refuses it, because it has seen a higher epoch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re

from ansible_collections.datacenteros.patch.plugins.module_utils.detached import read, remove_oldest, write

FOLDER = "/var/lib/patch-manager/owners"
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
MOST_KEPT = 50


class Superseded(Exception):
    """A later owner of the run has worked on this host."""

    def __init__(self, run, epoch, highest):
        super().__init__(
            "epoch {0} of run `{1}` has ended: this host has worked for epoch {2}, so a later owner continues the run; "
            "this owner must stop".format(epoch, run, highest)
        )


@contextlib.contextmanager
def owned(run, epoch, folder=FOLDER):
    """Records the epoch and refuses a lower one. No other owner can come in between until the block ends.

    Epoch 0 is for work that has no owners, such as a playbook that a person starts.
    """
    if not epoch:
        yield
        return
    if not RUN.match(run):
        raise ValueError("`{0}` is not a valid run id".format(run))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    base = os.path.join(folder, run)
    lock = os.open(base + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        highest = (read(base + ".json") or {}).get("epoch", 0)
        if epoch < highest:
            raise Superseded(run, epoch, highest)
        if epoch > highest:
            write(base + ".json", {"epoch": epoch})
            remove_oldest(folder, MOST_KEPT, (".json", ".lock"))
        yield
    finally:
        # Not only closed: the process of a transaction that began in the block has inherited the file.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)
