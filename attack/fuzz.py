"""Requests made from the contracts by Schemathesis: valid ones, invalid ones, and sequences of both.

No answer may be a fault of the service, have a status, type or form that its contract does not name, accept what the
contract forbids, or be given to a caller without a token.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lab
from lab import Broken, Platform, Tools
from report import Report

#: Parts of the whole attack on each service; each takes some minutes.
SHARES = {"patch-manager": 4, "cmdb": 3, "itsm": 3, "sim-engine": 3}
#: Requests that are made for each operation, and sequences of requests for each service.
#: `boundaries`: also each boundary of each value, which are thousands of requests.
SAMPLE = {"examples": 2, "sequences": 2, "boundaries": 0}
WHOLE = {"examples": 80, "sequences": 60, "boundaries": 1}
DEADLINE = 3600
#: A request may take this long; the services end slow ones earlier.
REQUEST = 20

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "use_after_free",
    "ignored_auth",
)

#: Not asked, with the reason.
LEFT_OUT = {
    # It answers until the run ends.
    "list_run_events",
    # It would revoke the token of the attack.
    "revoke_token",
}


def sample(tools: Tools, report: Report) -> None:
    """A few requests to every operation of all four services, on one platform."""
    platform = lab.start(tools, "requests")
    try:
        platform.furnish()
        for service in lab.SERVICES:
            Fuzzing(platform, report, service, SAMPLE).run()
    finally:
        platform.stop()


def share(service: str, number: int) -> Callable[[Tools, Report], None]:
    """One part of the whole attack, with other requests than every other part."""

    def attack(tools: Tools, report: Report) -> None:
        platform = lab.start(tools, f"{service}-{number}")
        try:
            platform.furnish()
            Fuzzing(platform, report, service, WHOLE, tools.seed + number).run()
        finally:
            platform.stop()

    return attack


class Fuzzing:
    def __init__(
        self, platform: Platform, report: Report, service: str, extent: dict[str, int], seed: int | None = None
    ) -> None:
        self.platform, self.report, self.service, self.extent = platform, report, service, extent
        self.seed = platform.tools.seed if seed is None else seed

    def run(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="patch-attack-requests-"))
        try:
            self.run_in(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run_in(self, folder: Path) -> None:
        document = self.platform.tools.root / "openapi" / f"{self.service}.json"
        (folder / "schemathesis.toml").write_text(self.settings())
        events = folder / "events.ndjson"
        program = Path(sys.executable).with_name("schemathesis")
        arguments = [
            str(program), "--config-file", str(folder / "schemathesis.toml"), "run", str(document),
            "--url", self.platform.addresses[self.service],
            "--report-ndjson-path", str(events), "--no-color",
        ]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TOKEN": self.platform.people["mallory"]}
        with (folder / "output").open("w") as output:
            done = subprocess.run(
                arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, timeout=DEADLINE,
            )
        text = (folder / "output").read_text(errors="replace")
        if done.returncode not in (0, 1):
            raise Broken(f"Schemathesis ended with {done.returncode} on {self.service}: {text[-3000:]}")
        self.read(events, text)
        if not self.platform.alive():
            self.report.fail("down", f"the platform ended under requests to {self.service}")

    def settings(self) -> str:
        """The token comes from the environment."""
        enabled = "\n".join(f"{check}.enabled = true" for check in CHECKS)
        left_out = "\n".join(
            f'[[operations]]\ninclude-operation-id = "{one}"\nenabled = false' for one in sorted(LEFT_OUT)
        )
        return f"""
seed = {self.seed}
continue-on-failure = true
request-timeout = {REQUEST}
warnings = false
headers = {{ Authorization = "Bearer ${{TOKEN}}" }}
suppress-health-check = ["all"]
max-redirects = 0

[output.truncation]
enabled = false

[generation]
mode = "all"
max-examples = {self.extent["examples"]}
database = "none"
no-shrink = true

[phases.coverage]
enabled = {"true" if self.extent["boundaries"] else "false"}

[phases.stateful.generation]
max-examples = {self.extent["sequences"]}

[checks]
enabled = false
{enabled}

{left_out}
"""

    def read(self, events: Path, text: str) -> None:
        """One event a line: what was asked, what was answered, and which checks failed."""
        phases: dict[str, int] = {}
        with events.open(encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                for error in (event.get("NonFatalError"), event.get("FatalError")):
                    if error:
                        self.report.fail("errors", f"{self.service}: {json.dumps(error)[:1500]}")
                scenario = event.get("ScenarioFinished")
                if scenario:
                    recorded = scenario.get("recorder", {})
                    asked = len(recorded.get("interactions", {}))
                    phase = scenario.get("phase", "unknown")
                    phases[phase] = phases.get(phase, 0) + asked
                    self.report.count(f"requests to {self.service}: {phase}", asked)
                    self.judge(recorded)
        # Without any of these, nothing was attacked.
        wanted = {"fuzzing", "stateful"} | ({"coverage"} if self.extent["boundaries"] else set())
        missing = wanted - {phase.lower() for phase, asked in phases.items() if asked}
        if missing:
            raise Broken(f"Schemathesis made no request to {self.service} in: {', '.join(sorted(missing))}: {text[-2000:]}")

    def judge(self, recorded: dict[str, Any]) -> None:
        for case, checks in recorded.get("checks", {}).items():
            for check in checks:
                if check.get("status") == "failure":
                    failure = (check.get("failure_info") or {}).get("failure") or {}
                    asked = recorded.get("interactions", {}).get(case, {})
                    if check.get("name") == "not_a_server_error" and is_of_guest(asked.get("response") or {}):
                        continue
                    self.report.fail(check.get("name", "check"), self.describe(failure, asked))

    def describe(self, failure: dict[str, Any], asked: dict[str, Any]) -> str:
        request, response = asked.get("request") or {}, asked.get("response") or {}
        body = content(request.get("body"))
        answer = content(response.get("content"))
        return (
            f"{self.service} {failure.get('operation')}: {failure.get('title')}: {failure.get('message', '')[:400]}; "
            f"{request.get('method')} {request.get('uri', '')[:400]} {body[:500]} "
            f"-> {response.get('status_code')} {answer[:300]}"
        )


def is_of_guest(response: dict[str, Any]) -> bool:
    """A guest that boots does not answer. This is documented, and not a fault of a service."""
    return response.get("status_code") == 503 and '"/problems/guest-unreachable"' in content(response.get("content"))


def content(value: Any) -> str:
    """A body as text; the events have it in base64."""
    if isinstance(value, dict) and "$base64" in value:
        return base64.b64decode(value["$base64"]).decode(errors="backslashreplace")
    return "" if value is None else str(value)
