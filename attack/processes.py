"""Watches what other users of the machine could see: arguments and environments of the platform and all its children."""

from __future__ import annotations

import threading
from pathlib import Path

EVERY = 0.02


def read(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class Watch:
    """Samples the descendants of a process, several times while each of them is being born."""

    def __init__(self, ancestor: int) -> None:
        self.ancestor = ancestor
        self.arguments: set[str] = set()
        #: By whether it is that of the ancestor itself, whose environment the caller chose.
        self.environments: set[str] = set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def watch(self) -> None:
        while not self.ended.wait(EVERY):
            self.sample()

    def sample(self) -> None:
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                _, _, rest = read(entry / "stat").rpartition(") ")
                fields = rest.split(" ")
                if len(fields) > 1:
                    parents[int(entry.name)] = int(fields[1])
        for pid in parents:
            if self.is_descendant(pid, parents):
                process = Path("/proc") / str(pid)
                self.arguments.add(read(process / "cmdline").strip())
                if pid != self.ancestor:
                    self.environments.add(read(process / "environ").strip())

    def is_descendant(self, pid: int, parents: dict[int, int]) -> bool:
        while pid in parents:
            if pid == self.ancestor:
                return True
            pid = parents[pid]
        return False
