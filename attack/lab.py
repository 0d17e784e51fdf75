"""The platform under attack: `patchctl up` on free ports of 127.0.0.1, with people, a fleet and a place for its files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

SERVICES = ("patch-manager", "cmdb", "itsm", "sim-engine")
#: Seconds for the first start, which creates all tables.
START = 180
STOP = 30
#: Seconds for a scan or a run of a few hosts.
WORK = 300
ENDED = (
    "succeeded", "completed_with_errors", "failed", "halted", "cancelled", "expired", "voided", "rolled_back",
)
REQUEST = 30
ATTEMPTS = 2


class Broken(Exception):
    """The attack cannot be carried out; the platform may be fine."""


@dataclass
class Tools:
    """What the attacks need of this machine, as `cargo xtask attack` passes it."""

    root: Path
    patchctl: Path
    postgres: Path
    database_url: str
    ansible: Path
    openbao: Path
    vectors: Path
    seed: int

    def document(self, service: str) -> dict[str, Any]:
        return json.loads((self.root / "openapi" / f"{service}.json").read_text())

    def seeds(self, path: str) -> Any:
        return json.loads((self.root / "seeds" / path).read_text())


@dataclass
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.text)

    def expect(self, *statuses: int) -> Any:
        if self.status not in statuses:
            raise Broken(f"expected {statuses}, got {self.status}: {self.text[:500]}")
        return json.loads(self.text) if self.text else None


class Caller:
    """Somebody with a token, or nobody."""

    def __init__(self, addresses: dict[str, str], token: str | None) -> None:
        self.addresses = addresses
        self.token = token
        self.session = requests.Session()
        self.session.trust_env = False

    def send(
        self,
        method: str,
        service: str,
        path: str,
        body: Any = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        for _ in range(ATTEMPTS):
            try:
                answer = self.session.request(
                    method, self.addresses[service] + path, data=data, headers=sent, timeout=REQUEST,
                    allow_redirects=False,
                )
            except requests.exceptions.ChunkedEncodingError as error:
                return Answer(0, f"the answer broke off: {error}", {})
            except requests.ConnectionError:
                # The service may close a connection that was kept just when it is used again.
                continue
            return Answer(answer.status_code, answer.text, dict(answer.headers))
        return Answer(0, "the connection was closed without an answer", {})

    def get(self, service: str, path: str) -> Answer:
        return self.send("GET", service, path)

    def post(self, service: str, path: str, body: Any) -> Answer:
        return self.send("POST", service, path, body)

    def put(self, service: str, path: str, body: Any) -> Answer:
        return self.send("PUT", service, path, body)


@dataclass
class Platform:
    tools: Tools
    folder: Path
    process: subprocess.Popen[str]
    addresses: dict[str, str]
    database: str
    people: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "platform.log"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def admin(self) -> Caller:
        return self.caller((self.data / "admin-token").read_text().strip())

    def caller(self, token: str | None) -> Caller:
        return Caller(self.addresses, token)

    def person(self, name: str) -> Caller:
        return self.caller(self.people[name])

    def alive(self) -> bool:
        return self.process.poll() is None

    def recruit(self) -> None:
        """Arjun approves, Olivia operates, Vera reads; Mallory has every role that a person can have."""
        admin = self.admin()
        person = {"emails": ["arjun@example.com"], "roles": ["approver"]}
        admin.put("itsm", "/access/people/arjun", person).expect(200)
        for name, roles in (("arjun", ["approver"]), ("olivia", ["operator"]), ("vera", ["viewer"])):
            body = {"subject": name, "roles": roles}
            self.people[name] = admin.post("itsm", "/access/tokens", body).expect(201)["token"]
        roles = ["viewer", "operator", "approver", "admin"]
        proposed = admin.post("itsm", "/access/tokens", {"subject": "mallory", "roles": roles}).expect(202)
        path = f"/access/proposals/{proposed['id']}/confirm"
        confirmed = self.person("arjun").post("itsm", path, {}).expect(200)
        self.people["mallory"] = confirmed["token"]["token"]

    def furnish(self) -> None:
        """The fleet and the advisories of the demo."""
        olivia = self.person("olivia")
        for system, repository in self.tools.seeds("demo/repositories.json").items():
            quoted = urllib.parse.quote(system, safe="")
            olivia.put("sim-engine", f"/sim/repositories/{quoted}", repository).expect(200)
        olivia.post("sim-engine", "/sim/vms/bulk", self.tools.seeds("demo/vms.json")).expect(201)
        cis = self.tools.root / "seeds/demo/cis.json"
        olivia.send("POST", "cmdb", "/cmdb/import", raw=cis.read_bytes()).expect(200)
        for relationship in self.tools.seeds("demo/relationships.json"):
            olivia.post("cmdb", "/cmdb/relationships", relationship).expect(201)
        for policy in self.tools.seeds("demo/policies.json"):
            olivia.post("patch-manager", "/patch/policies", policy).expect(201)
        # The repositories as they are once the fix is published which the hosts do not have.
        for system, repository in self.tools.seeds("demo/repositories-after-advisory.json").items():
            quoted = urllib.parse.quote(system, safe="")
            olivia.put("sim-engine", f"/sim/repositories/{quoted}", repository).expect(200)
        for name in ("DCOS-2026-0020", "DCOS-2026-0021", "incoming/DCOS-2026-0100"):
            feed = self.tools.root / "seeds/advisories" / f"{name}.json"
            answer = olivia.send("POST", "patch-manager", "/patch/advisories/import", raw=feed.read_bytes())
            answer.expect(200, 202)

    def scan(self) -> None:
        """Asks all hosts what is installed."""
        olivia = self.person("olivia")
        path = f"/patch/compliance/scans/{olivia.post('patch-manager', '/patch/compliance/scan', {}).expect(202)['id']}"
        state = until(
            "the scan ends",
            WORK,
            lambda: (state := olivia.get("patch-manager", path).expect(200)["state"]) not in ("queued", "running") and state,
        )
        if state == "failed":
            raise Broken("the scan of the fleet failed")

    def change_of(self, run: str) -> str:
        """The change that the run has opened and waits for."""
        olivia = self.person("olivia")

        def opened() -> str | None:
            found = olivia.get("patch-manager", f"/patch/runs/{run}").expect(200)
            if found["state"] in ENDED:
                raise Broken(f"run {run} ended before its approval: {found['state']}: {found.get('reason')}")
            return found.get("change_id") if found["state"] == "awaiting_approval" else None

        return until("the run waits for its approval", WORK, opened)

    def until_ended(self, run: str) -> str:
        olivia = self.person("olivia")

        def ended() -> str | None:
            state = olivia.get("patch-manager", f"/patch/runs/{run}").expect(200)["state"]
            return state if state in ENDED else None

        return until(f"run {run} ends", WORK, ended)

    def stop(self) -> None:
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(tools: Tools, name: str, environment: dict[str, str] | None = None) -> Platform:
    """Starts a platform with a database of its own."""
    folder = Path(tempfile.mkdtemp(prefix="patch-attack-"))
    (folder / "tmp").mkdir()
    database = f"attack_{name}_{os.getpid()}_{time.monotonic_ns()}"
    sql(tools, tools.database_url, f'CREATE DATABASE "{database}"')
    url = urllib.parse.urlsplit(tools.database_url)._replace(path=f"/{database}").geturl()
    ports = free_ports()
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "USER") if key in os.environ}
    settings = {
        **kept,
        "DATABASE_URL": url,
        "TMPDIR": str(folder / "tmp"),
        "PATCH_LOG_FILE": str(folder / "platform.log"),
        "PATCH_ANSIBLE_PLAYBOOK": str(tools.ansible),
        "PATCH_PLAYBOOKS": str(tools.root / "playbooks"),
        "RUST_BACKTRACE": "0",
        **(environment or {}),
    }
    arguments = ["--laboratory", "--data-dir", str(folder / "data"), "--port-base", str(ports)]
    try:
        with (folder / "errors").open("w") as errors:
            process = subprocess.Popen(
                [str(tools.patchctl), "up", *arguments],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
            )
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Broken(f"cannot start `{tools.patchctl}`: {error}") from error
    addresses = {service: f"http://127.0.0.1:{ports + offset}" for offset, service in enumerate(SERVICES)}
    platform = Platform(tools, folder, process, addresses, url)
    try:
        until("the platform is ready", START, lambda: ready(platform))
        platform.recruit()
    except BaseException:
        platform.stop()
        raise
    return platform


def ready(platform: Platform) -> bool:
    if not platform.alive():
        raise Broken(f"the platform ended at its start: {(platform.folder / 'errors').read_text()[-2000:]}")
    try:
        caller = platform.caller(None)
        return all(caller.get(service, "/readyz").status == 200 for service in SERVICES)
    except requests.RequestException:
        return False


def free_ports() -> int:
    """The first of four consecutive ports that are free now."""
    for _ in range(200):
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            base = first.getsockname()[1]
        if base < 65_000 and all(is_free(base + offset) for offset in range(4)):
            return base
    raise Broken("no four consecutive ports are free")


def is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def until(what: str, seconds: float, condition: Callable[[], Any]) -> Any:
    """Waits until `condition` returns something, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Broken(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.1)


def sql(tools: Tools, url: str, statement: str) -> str:
    """The URL, which has a password, goes through the environment: other users can read arguments."""
    return client(tools, "psql", url, ["-XAtc", statement])


def dump(platform: Platform) -> str:
    """Everything that the database holds, as text."""
    return client(platform.tools, "pg_dump", platform.database, ["--inserts"])


def client(tools: Tools, program: str, url: str, arguments: list[str]) -> str:
    parts = urllib.parse.urlsplit(url)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": urllib.parse.unquote(parts.username or ""),
        "PGPASSWORD": urllib.parse.unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
    }
    done = subprocess.run(
        [str(tools.postgres / program), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        raise Broken(f"{program} failed: {done.stderr.strip()}")
    return done.stdout


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield method.upper(), path, operation
