"""Hostile values against every place of the four services that takes such a value.

The values are reference data beside the workspace; without it, this part is skipped. What each place must answer follows
from the contracts and from public rules (RFC 3339, RFC 1123, the list of time zones), not from lists of today's answers.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
import urllib.parse
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lab
from lab import Answer, Platform, Tools
from raw import exchange
from report import Report

#: Fills the parameters of paths with something that does not exist.
NOBODY = {
    "os": "debian:12",
    "version": "v9.9.9",
    "fault": "patch-failure",
    "subject": "nobody",
    "name": "nothing",
    "item": "1",
    "id": "018f4e3a-0000-7000-8000-000000000001",
}
#: A text from which a command would make a file.
CANARY = Path("/tmp/pwn")
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$", re.ASCII)


def attack(tools: Tools, report: Report) -> None:
    if not (tools.vectors / "security").is_dir():
        report.skip("vectors", f"there is no reference data at {tools.vectors}")
        return
    existed = CANARY.exists()
    programs = Path(tempfile.mkdtemp(prefix="patch-attack-programs-"))
    (programs / "notify").write_text("#!/bin/sh\n")
    (programs / "notify").chmod(0o755)
    environment = {"PATCH_HOOKS_DIR": str(programs), "PATCH_RELEASE_CHECKS": str(programs)}
    platform = lab.start(tools, "vectors", environment)
    try:
        platform.furnish()
        hunt = Hunt(platform, report)
        for part in (bodies, requests_by_hand, queries, addresses, times, zones, host_names, variables, playbooks):
            part(hunt)
        if CANARY.exists() and not existed:
            report.fail("executed", f"something created {CANARY}")
        log = platform.log.read_text(errors="replace")
        if "panicked" in log:
            report.fail("panic", next(line for line in log.splitlines() if "panicked" in line))
        if not platform.alive():
            report.fail("down", "the platform has ended")
    finally:
        platform.stop()
        shutil.rmtree(programs)


class Hunt:
    def __init__(self, platform: Platform, report: Report) -> None:
        self.platform, self.report = platform, report
        self.vectors = platform.tools.vectors
        self.mallory = platform.person("mallory")

    def read(self, path: str) -> Any:
        return json.loads((self.vectors / path).read_text())

    def judge(self, what: str, answer: Answer, about: str, accepted: Callable[[int], bool]) -> None:
        """An answer that is not in `accepted`, or a problem without its form, is a finding."""
        self.report.count(what)
        if not accepted(answer.status):
            self.report.fail(what, f"{about}: answered {answer.status}: {answer.text[:300]}")
        elif answer.status >= 400 and answer.status != 431:
            kind = answer.headers.get("content-type") or answer.headers.get("Content-Type", "")
            if not kind.startswith("application/problem+json"):
                self.report.fail(what, f"{about}: {answer.status} without a problem: {kind}: {answer.text[:200]}")


def refused(status: int) -> bool:
    return 400 <= status < 500


def answered(status: int) -> bool:
    """Accepted or refused, but neither a fault of the service nor a redirection."""
    return 200 <= status < 300 or refused(status)


def fill(path: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return urllib.parse.quote(NOBODY.get(name, "nobody-01"), safe="")

    return re.sub(r"\{(\w+)\}", value, path)


def body_of(name: str, text: str) -> bytes | None:
    """The bytes that a row of the table describes; `None` if it is not about a body."""
    special = {
        "empty body": b"",
        "deep nesting 100k": b"[" * 100_000,
        "latin-1 bytes": b'{"name":"\xff"}',
        "utf-16 body": '{"name":"a"}'.encode("utf-16"),
        "BOM": b"\xef\xbb\xbf{}",
        "10 MiB body": b'{"name":"' + b"a" * (10 << 20) + b'"}',
    }
    if name in special:
        return special[name]
    return text.encode() if text[:1] in ("{", "[") else None


def bodies(hunt: Hunt) -> None:
    """None of these is what any operation takes, so all must be refused, and none with a fault."""
    with (hunt.vectors / "security/http-json.tsv").open(newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if len(row) >= 2][1:]
    vectors = [(row[0], body_of(row[0], row[1])) for row in rows]
    for service in lab.SERVICES:
        for method, path, operation in lab.operations(hunt.platform.tools.document(service)):
            takes = (operation.get("requestBody") or {}).get("content", {})
            if "application/json" not in takes:
                continue
            large = True
            for name, body in vectors:
                if body is None or (name == "10 MiB body" and not large):
                    continue
                # Fields that an operation does not know are refused; an empty object may be a whole request.
                accepted = answered if name in ("BOM", "-0") else refused
                about = f"{name} to {method} {service}{path}"
                if name == "10 MiB body":
                    hunt.judge("bodies", exchange(hunt.mallory, method, service, fill(path), body), about, too_large)
                    continue
                answer = hunt.mallory.send(method, service, fill(path), raw=body)
                hunt.judge("bodies", answer, about, accepted)
            for kind in ("text/plain", "application/x-www-form-urlencoded"):
                headers = {"Content-Type": kind}
                answer = hunt.mallory.send(method, service, fill(path), raw=b"{}", headers=headers)
                hunt.judge("bodies", answer, f"{kind} to {method} {service}{path}", refused)


def too_large(status: int) -> bool:
    """0: the service has closed the connection while the body was still being sent."""
    return status in (0, 400, 404, 413, 422)


def requests_by_hand(hunt: Hunt) -> None:
    """Requests that no HTTP client would write."""
    lists = {"patch-manager": "/patch/policies", "cmdb": "/cmdb/cis", "itsm": "/itsm/changes", "sim-engine": "/sim/vms"}
    token = f"Authorization: Bearer {hunt.mallory.token}\r\n"
    for service, path in lists.items():
        host = "Host: localhost\r\n"
        plain = f"GET {path} HTTP/1.1\r\n{host}{token}"
        cases: list[tuple[str, bytes, Callable[[int], bool]]] = [
            ("a header of 64 KiB", f"{plain}X: {'a' * (1 << 16)}\r\n\r\n".encode(), lambda s: s in (0, 400, 431)),
            ("10,000 headers", f"{plain}{'A: b' + chr(13) + chr(10)}".encode() * 1 + b"A: b\r\n" * 10_000 + b"\r\n",
             lambda s: s in (0, 400, 431)),
            ("TRACE", f"TRACE / HTTP/1.1\r\n{host}{token}\r\n".encode(), refused),
            ("two lengths", f"POST {path} HTTP/1.1\r\n{host}{token}Content-Type: application/json\r\n"
             "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(), refused),
            ("two different Content-Lengths", f"POST {path} HTTP/1.1\r\n{host}{token}"
             "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}".encode(), refused),
            ("a method in a header", f"{plain}X-HTTP-Method-Override: DELETE\r\n\r\n".encode(), lambda s: s == 200),
            ("another host", f"GET {path} HTTP/1.1\r\nHost: evil\r\n{token}\r\n".encode(), lambda s: s in (200, 400, 421)),
            ("a token after a blank", f"GET {path} HTTP/1.1\r\n{host}Authorization : Bearer x\r\n\r\n".encode(), refused),
            ("no version", f"GET {path}\r\n\r\n".encode(), lambda s: s == 0 or refused(s)),
            ("an absolute target", f"GET http://evil{path} HTTP/1.1\r\n{host}{token}\r\n".encode(), lambda s: s < 500),
        ]
        for what, request, accepted in cases:
            answer = exchange(hunt.mallory, "", service, "", request, whole=True)
            hunt.report.count("requests by hand")
            if not accepted(answer.status):
                hunt.report.fail("requests by hand", f"{what} to {service}: {answer.status}: {answer.text[:200]}")
            if "evil" in answer.text.split("\r\n\r\n", 1)[0]:
                hunt.report.fail("requests by hand", f"{what} to {service}: the answer's head names the host `evil`")


def queries(hunt: Hunt) -> None:
    """Parameters of lists, and ids, that are not what they should be."""
    bad = ("limit=0", "limit=-1", "limit=x", "page_token=AAAA", "limit=1&limit=2", "foo=1", "sort=name;drop%20table")
    odd = ("null", "%00", "..%2f..", "a%2Fb", "%ff", "{x}", "-o", "%F0%9F%98%80", "a" * 5000)
    for service in lab.SERVICES:
        for method, path, operation in lab.operations(hunt.platform.tools.document(service)):
            names = {parameter["name"] for parameter in operation.get("parameters", [])}
            if method == "GET" and "limit" in names and "{" not in path:
                for query in bad:
                    answer = hunt.mallory.get(service, f"{path}?{query}")
                    hunt.judge("queries", answer, f"?{query} to {service}{path}", refused)
                answer = hunt.mallory.get(service, f"{path}?limit=1000000000")
                hunt.judge("queries", answer, f"?limit=1000000000 to {service}{path}", answered)
            if method == "GET" and "{" in path and not path.endswith("/events"):
                for one in odd:
                    filled = fill(path[::-1].replace(path[path.rindex("{") : path.rindex("}") + 1][::-1], one[::-1], 1)[::-1])
                    answer = hunt.mallory.get(service, filled)
                    hunt.judge("queries", answer, f"{method} {service}{filled[:120]}", answered)


@dataclass(frozen=True)
class Place:
    """A field of a request. With a good value the field is not what is wrong; with a bad one it is, and it is named."""

    service: str
    path: str
    pointer: str
    body: Callable[[str], Any]
    #: Also names it: the field that is wrong together with it.
    also: str | None = None

    def ask(self, hunt: Hunt, value: str) -> Answer:
        answer = hunt.mallory.post(self.service, self.path, self.body(value))
        if answer.status == 201 and self.path in ("/patch/policies", "/patch/customers"):
            stored = self.body(value)
            name = stored.get("id") or stored.get("slug")
            hunt.mallory.send("DELETE", "patch-manager", f"{self.path}/{name}")
        return answer

    def names(self, answer: Answer) -> bool:
        problem = answer.json() if answer.status == 422 else {}
        pointers = [error["pointer"] for error in problem.get("errors") or []]
        return any(pointer.startswith(self.pointer) or pointer == self.also for pointer in pointers)


def try_places(hunt: Hunt, what: str, places: list[Place], good: str, values: list[tuple[str, bool | None]]) -> None:
    """`values` with whether each must be refused (`True`), may be accepted (`False`) or either (`None`)."""
    for place in places:
        about = f"{place.service}{place.path}{place.pointer}"
        control = place.ask(hunt, good)
        if place.names(control) or control.status in (400, 401, 403, 404, 415):
            raise lab.Broken(f"{good!r} is not accepted at {about}: {control.text[:300]}")
        for value, must_be_refused in values:
            answer = place.ask(hunt, value)
            hunt.judge(what, answer, f"{value[:90]!r} at {about}", refused if must_be_refused else answered)
            if must_be_refused and answer.status == 422 and not place.names(answer):
                hunt.report.fail(what, f"{value[:90]!r} at {about}: another field is named: {answer.text[:300]}")


def addresses(hunt: Hunt) -> None:
    """Every field that takes an address to which the platform would connect."""
    policy = {"id": "outbound", "name": "x", "target_ci_tags": {"env": "none"}}
    sim = {"kind": "sim"}
    customer = {"slug": "outbound", "name": "x", "tier": "startup", "current_version": "v1.0.0", "health": sim,
                "deployer": sim}
    given = {"targetClusters": ["none"], "pilotHostCount": 0, "approverEmails": ["arjun@example.com"],
             "vaultToken": "x"}

    def of_policy(more: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda url: {**policy, **more(url)}

    def of_customer(more: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda url: {**customer, **more(url)}

    manager, policies, customers = "patch-manager", "/patch/policies", "/patch/customers"
    places = [
        Place("itsm", "/itsm/notifications", "/recipient",
              lambda url: {"channel": "webhook", "recipient": url, "subject": "x", "body": "x"}),
        Place(manager, policies, "/notify/0", of_policy(lambda url: {"notify": [url]})),
        Place(manager, policies, "/workflow/drain", of_policy(lambda url: {"workflow": {"drain": {"url": url}}})),
        Place(manager, customers, "/contacts/0", of_customer(lambda url: {"contacts": [url]})),
        Place(manager, customers, "/health", of_customer(lambda url: {"health": {"kind": "http", "url": url}})),
        Place(manager, customers, "/health",
              of_customer(lambda url: {"health": {"kind": "prometheus", "url": url, "up": "up"}})),
        Place(manager, customers, "/deployer",
              of_customer(lambda url: {"deployer": {"kind": "webhook", "url": url}})),
        Place(manager, "/patch/runs", "/input/vaultAddress", lambda url: {"input": {**given, "vaultAddress": url}}),
    ]
    # Where a name of `.test` leads, only the name server knows: it is refused at the connection.
    urls = [vector["url"] for vector in hunt.read("security/ssrf-webhooks.json")]
    values = [(url, None if ".test/" in url else True) for url in urls]
    try_places(hunt, "addresses", places, "https://hooks.example.org/x", values)


def is_time(text: str) -> bool:
    if not RFC3339.match(text):
        return False
    try:
        datetime.fromisoformat(text[:19].upper().replace(" ", "T"))
    except ValueError:
        return False
    return text[-1:] in "Zz" or int(text[-5:-3]) < 24


def times(hunt: Hunt) -> None:
    change = {"kind": "normal", "short_description": "x", "ci_ids": ["web-01"]}
    manager, late = "patch-manager", "2099-01-01T00:00:00Z"
    places = [
        Place("itsm", "/itsm/changes", "/start_at", lambda at: {**change, "start_at": at, "end_at": late}),
        Place("itsm", "/itsm/changes", "/end_at", lambda at: {**change, "start_at": "2026-01-01T00:00:00Z", "end_at": at}),
        Place(manager, "/patch/calendars", "/starts", lambda at: {"name": "x", "starts": at, "ends": late},
              also="/ends"),
        Place(manager, "/patch/exceptions", "/expires_at",
              lambda at: {"owner": "x", "reason": "a reason of some length", "package": "x", "expires_at": at}),
    ]
    soon = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    # A leap second is a time of RFC 3339, and no clock here has one.
    values = [(at, None if at.endswith(":60Z") else not is_time(at)) for at in hunt.read("security/timestamps.json")]
    try_places(hunt, "times", places, soon, values)


def zones(hunt: Hunt) -> None:
    known = zoneinfo.available_timezones()
    policy = {"id": "zones", "name": "x", "target_ci_tags": {"env": "none"}, "schedule": "0 2 * * 0"}
    freeze = {"name": "x", "starts": "2026-01-01T00:00:00Z", "ends": "2026-01-02T00:00:00Z",
              "recurrence": {"frequency": "yearly"}}
    manager = "patch-manager"
    places = [
        Place(manager, "/patch/policies", "/time_zone", lambda zone: {**policy, "time_zone": zone}),
        Place(manager, "/patch/calendars", "/time_zone", lambda zone: {**freeze, "time_zone": zone}),
    ]
    # Some systems keep further names that are not of the IANA database.
    values = [(zone, zone not in known or zone.startswith(("posix", "right"))) for zone in hunt.read("security/timezones.json")]
    try_places(hunt, "time zones", places, "Europe/Berlin", values)


def host_names(hunt: Hunt) -> None:
    with (hunt.vectors / "ansible/hostnames.tsv").open() as file:
        rows = [line.split("\t") for line in file if not line.startswith("#")]
    for row in rows:
        name, expected = json.loads(row[0]), row[1]
        answer = hunt.mallory.post("cmdb", "/cmdb/cis", {"id": name, "type": "host"})
        # An address of this machine is refused as a host; the table says so in its own words.
        accepted = refused if expected.startswith("reject") else answered
        hunt.judge("host names", answer, f"{name[:80]!r} as a host", accepted)
        if refused(answer.status) and name:
            stored = hunt.mallory.get("cmdb", f"/cmdb/cis/{urllib.parse.quote(name, safe='')}")
            if stored.status == 200 and stored.json()["id"] == name and expected.startswith("reject"):
                hunt.report.fail("host names", f"{name[:80]!r} was refused and stored")


def variables(hunt: Hunt) -> None:
    """Names with a meaning to Ansible are refused, and texts come out of the inventory as they were, never as templates."""
    for name in hunt.read("ansible/forbidden-var-names.json"):
        body = {"id": "variables", "type": "host", "attributes": {name: "x"}}
        answer = hunt.mallory.post("cmdb", "/cmdb/cis", body)
        hunt.judge("names of variables", answer, f"the attribute {name!r}", refused)
    kept: dict[str, Any] = {}
    for number, value in enumerate(hunt.read("ansible/var-values.json")):
        fits = not isinstance(value, str) or (len(value) < 10_000 and "\0" not in value)
        body = {"id": f"value-{number}", "type": "host", "attributes": {"note": value}}
        answer = hunt.mallory.post("cmdb", "/cmdb/cis", body)
        hunt.judge("values of variables", answer, f"{str(value)[:60]!r}", answered if fits else refused)
        if answer.status == 201:
            kept[f"value-{number}"] = value
    inventory = hunt.mallory.get("cmdb", "/cmdb/ansible/inventory").expect(200)
    for host, value in kept.items():
        found = inventory["_meta"]["hostvars"][host]["note"]
        hunt.report.count("values of variables")
        if isinstance(value, str) and found != {"__ansible_unsafe": value}:
            hunt.report.fail("values of variables", f"{value!r} is in the inventory as {found!r}")


def playbooks(hunt: Hunt) -> None:
    """Names of files: of maintenance hooks, and of checks of releases."""
    policy = {"id": "programs", "name": "x", "target_ci_tags": {"env": "none"}}
    plain = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
    places = [
        Place("patch-manager", "/patch/policies", "/workflow/maintenance_hooks",
              lambda name: {**policy, "workflow": {"maintenance_hooks": {"on": [[name]], "off": [["notify"]]}}}),
        Place("patch-manager", "/patch/release-config/apply", "/policies",
              lambda name: {"dry_run": True, "policies": {"validation": [
                  {"name": "x", "kind": "test_suite", "run": {"by": "command", "program": name}}]}}),
    ]
    # A plain name may be that of a program which an administrator adds later.
    values = [(name, None if plain.fullmatch(name) else True) for name in hunt.read("ansible/playbook-names.json")]
    try_places(hunt, "names of programs", places, "notify", values)
