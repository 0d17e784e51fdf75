"""What an attack counted and found."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

#: Of one kind of finding, at most this many are kept word by word.
KEPT = 25


class Report:
    def __init__(self, part: str) -> None:
        self.part = part
        self.counted: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.findings: list[dict[str, str]] = []
        self.skipped: dict[str, str] = {}
        self.started = time.monotonic()

    def count(self, what: str, number: int = 1) -> None:
        self.counted[what] += number

    def fail(self, what: str, details: str) -> None:
        self.failed[what] += 1
        if self.failed[what] <= KEPT:
            self.findings.append({"what": what, "details": details[:2000]})

    def skip(self, what: str, why: str) -> None:
        self.skipped[what] = why

    def total(self) -> int:
        return sum(self.counted.values())

    def content(self, built: str, seed: int) -> dict[str, Any]:
        return {
            "part": self.part,
            "build": built,
            "seed": seed,
            "seconds": round(time.monotonic() - self.started, 1),
            "counted": dict(self.counted),
            "failed": dict(self.failed),
            "findings": self.findings,
            "skipped": self.skipped,
        }

    def write(self, path: Path, built: str, seed: int) -> None:
        """Complete or not at all: an interrupted part is attacked again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self.content(built, seed), indent=1) + "\n")
        fresh.rename(path)
