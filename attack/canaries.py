"""Nine kinds of secrets are planted, the platform works with them, and then they are searched for everywhere.

A secret may be found only where it belongs, which is listed with each. A marker that is not secret is searched for in
the same way and must be found: otherwise the search itself is broken.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lab
from lab import Broken, Platform, Tools, until
from processes import Watch
from report import Report
from sinks import Mails, Webhooks

RUN = 240
APPROVER = "arjun@example.com"
#: In answers, at most this many objects of each kind are opened.
OPENED = 6
#: Requests that the token of a run may make; how many are left shows that it was used.
USES = 1000


@dataclass
class Secret:
    kind: str
    text: str
    #: Beginnings of the names of places where it belongs.
    belongs: tuple[str, ...] = ()

    def spellings(self) -> set[str]:
        raw = self.text.encode()
        encoded = base64.b64encode(raw).decode().rstrip("=")
        spelled = {self.text, urllib.parse.quote(self.text, safe=""), raw.hex(), encoded}
        spelled.add(base64.urlsafe_b64encode(raw).decode().rstrip("="))
        return spelled


@dataclass
class Places:
    """What was collected, by the name of the place."""

    texts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        self.texts[name] = self.texts.get(name, "") + "\n" + text

    def with_text(self, text: str) -> list[str]:
        return [name for name, content in self.texts.items() if text in content]

    def of(self, secret: Secret) -> list[str]:
        found = {name for spelling in secret.spellings() for name in self.with_text(spelling)}
        return sorted(name for name in found if not name.startswith(secret.belongs or ("\0",)))


def fresh(length: int = 24) -> str:
    return secrets.token_hex(length)


def attack(tools: Tools, report: Report) -> None:
    folder = Path(os.path.realpath(os.environ.get("TMPDIR", "/tmp"))) / f"patch-attack-secrets-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        with Webhooks() as hooks:
            Scene(tools, report, folder, hooks).play()
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


class Scene:
    def __init__(self, tools: Tools, report: Report, folder: Path, hooks: Webhooks) -> None:
        self.tools, self.report, self.folder, self.hooks = tools, report, folder, hooks
        self.marker = f"marker{fresh(6)}"
        self.smtp, self.webhook = fresh(), ""
        self.in_url, self.imported, self.vault_token = fresh(), fresh(), fresh()
        self.vault: Vault | None = None

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    def environment(self, mails: Mails) -> dict[str, str]:
        allowed = f"127.0.0.1:{self.hooks.port}"
        outbound = [allowed, *([self.vault.authority] if self.vault else [])]
        return {
            "RUST_LOG": "debug",
            "SMTP_URL": f"smtp://desk@127.0.0.1:{mails.port}",
            "SMTP_PASSWORD_FILE": self.file("smtp-password", self.smtp),
            "ALLOW_WEBHOOK_TO": allowed,
            "PATCH_ALLOW_OUTBOUND_TO": ",".join(outbound),
        }

    def play(self) -> None:
        if self.tools.openbao.is_file():
            self.vault = Vault(self.tools.openbao, self.folder, self.vault_token)
        else:
            self.report.skip("keys in a Vault", f"there is no {self.tools.openbao}")
        try:
            with Mails("desk", self.smtp) as mails:
                platform = lab.start(self.tools, "secrets", self.environment(mails))
                try:
                    with Watch(platform.process.pid) as watch:
                        link = self.work(platform, mails)
                        places = self.collect(platform, mails, watch)
                    self.judge(platform, places, watch, link)
                finally:
                    platform.stop()
        finally:
            if self.vault:
                self.vault.stop()

    def work(self, platform: Platform, mails: Mails) -> str:
        """Uses every secret once; returns the secret of the approval link."""
        platform.furnish()
        olivia = platform.person("olivia")
        ci = {"id": "marked", "type": "host", "tags": {"env": "none"}, "attributes": {"note": self.marker}}
        olivia.post("cmdb", "/cmdb/cis", ci).expect(201)
        self.import_inventory(platform)
        hook = f"http://127.0.0.1:{self.hooks.port}/hook?key={self.in_url}"
        issued = platform.admin().post("itsm", "/access/webhooks", {"url": hook}).expect(201)
        self.webhook = issued["secret"].removeprefix("whsec_")
        policy = {
            "id": "attack",
            "name": self.marker,
            "target_ci_tags": {"env": "staging"},
            "notify": [hook, "olivia@example.com"],
            "change": {"approver_emails": [APPROVER]},
            "workflow": {"health_timeout_seconds": 60},
        }
        olivia.post("patch-manager", "/patch/policies", policy).expect(201)
        platform.scan()
        run = olivia.post("patch-manager", "/patch/runs", {"policy_id": "attack"}).expect(202)["id"]
        link = self.approve_by_link(platform, mails, run)
        if self.vault:
            self.run_with_vault(platform)
        platform.until_ended(run)
        until("a webhook arrives", 60, lambda: self.hooks.received)
        return link

    def import_inventory(self, platform: Platform) -> None:
        inventory = (
            "[prod]\nshop-1 ansible_host=10.0.0.1 ansible_become_password="
            f"{self.imported}\nshop-2 api_token={self.imported} ansible_password={self.imported}\n"
        )
        answer = platform.person("olivia").send("POST", "cmdb", "/cmdb/import", raw=inventory.encode(),
                                                headers={"Content-Type": "application/octet-stream"})
        answer.expect(200)

    def approve_by_link(self, platform: Platform, mails: Mails, run: str) -> str:
        def link() -> tuple[str, str] | None:
            for mail in mails.received:
                for line in mail.text.splitlines():
                    page, found, token = line.strip().partition("#link=")
                    if found and APPROVER in mail.to:
                        return page, token
            return None

        platform.change_of(run)
        page, token = until("the request for approval arrives by mail", RUN, link)
        nobody, path = platform.caller(None), urllib.parse.urlsplit(page).path
        shown = nobody.get("itsm", path)
        if shown.status != 200:
            raise Broken(f"the page of the link answers {shown.status}")
        nobody.post("itsm", f"{path}/read", {"token": token}).expect(200)
        nobody.post("itsm", f"{path}/decide", {"token": token, "decision": "approved"}).expect(200)
        return token

    def run_with_vault(self, platform: Platform) -> None:
        """A host that does not speak SSH: its key is read from the Vault and offered to nobody."""
        assert self.vault
        olivia = platform.person("olivia")
        ci = {
            "id": "real-1",
            "type": "host",
            "tags": {"env": "real", "os": "debian12", "cluster": "c-real"},
            "attributes": {
                "driver": "ssh",
                "address": "127.0.0.1",
                "port": self.hooks.port,
                "host_key": self.vault.host_key,
            },
        }
        olivia.post("cmdb", "/cmdb/cis", ci).expect(201)
        package = {"name": "openssl", "version": "3.0.1-1"}
        inventory = {"ci_id": "real-1", "os": "debian:12", "packages": [package]}
        olivia.post("patch-manager", "/patch/inventory", inventory).expect(200)
        given = {
            "targetClusters": ["c-real"],
            "pilotHostCount": 0,
            "approverEmails": [APPROVER],
            "requesterEmail": "olivia@example.com",
            "vaultAddress": f"http://{self.vault.authority}",
            "vaultToken": self.vault_token,
            "secretPathPrefix": "patch-deploy",
        }
        run = olivia.post("patch-manager", "/patch/runs", {"input": given}).expect(202)["id"]
        # Preflight connects with the key, and finds that nobody answers.
        platform.until_ended(run)
        reason = olivia.get("patch-manager", f"/patch/runs/{run}").expect(200).get("reason")
        if not self.vault.was_asked() or "the host does not answer" not in str(reason):
            raise Broken(f"the key of the host was not read from the Vault: {reason}")

    def collect(self, platform: Platform, mails: Mails, watch: Watch) -> Places:
        places = Places()
        # The token of a run is wiped with its end, and the log is written in the background.
        time.sleep(1)
        places.add("database", lab.dump(platform))
        places.add("log", platform.log.read_text(errors="replace"))
        places.add("errors", (platform.folder / "errors").read_text(errors="replace"))
        for person in ("vera", "olivia", "arjun", "mallory"):
            for path, answer in crawl(platform, person):
                self.report.count("answers that were searched")
                if answer.status == 0 or answer.status >= 500:
                    self.report.fail("answers that were searched", f"{path} to {person}: {answer.status} {answer.text[:300]}")
                places.add(f"answer to {person} of {path}", answer.text + str(answer.headers))
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/healthz", "/readyz"):
            for service in lab.SERVICES:
                places.add(f"page {service}{path}", platform.caller(None).get(service, path).text)
        for file in files(platform.folder):
            places.add(f"file {file.relative_to(platform.folder)}", file.read_bytes().decode("latin-1"))
        for file in files(Path("/dev/shm")):
            places.add(f"memory {file}", file.read_bytes().decode("latin-1"))
        for text in watch.arguments:
            places.add("arguments", text)
        for text in watch.environments:
            places.add("environment", text)
        for mail in mails.received:
            to_approver = mail.to == [APPROVER]
            places.add("mail to the approver" if to_approver else "mail", mail.text)
        for text in self.hooks.received:
            places.add("webhook", text)
        return places

    def judge(self, platform: Platform, places: Places, watch: Watch, link: str) -> None:
        data = platform.data
        password = urllib.parse.urlsplit(platform.database).password or ""
        planted = [
            Secret("token of a person", platform.people["olivia"]),
            Secret("token of the administrator", (data / "admin-token").read_text().strip(), ("file data/admin-token",)),
            Secret("token of the services", (data / "service-token").read_text().strip(), ("file data/service-token",)),
            Secret("key of approval links", (data / "approval-key").read_text().strip(), ("file data/approval-key",)),
            Secret("key of webhooks", (data / "webhook-key").read_text().strip(), ("file data/webhook-key",)),
            Secret("key of audit chains", (data / "audit-key").read_text().strip(), ("file data/audit-key",)),
            Secret("approval link", link, ("mail to the approver",)),
            Secret("secret of webhooks", self.webhook),
            Secret("password of the mail server", self.smtp),
            Secret("password of the database", password),
            Secret("password in an imported inventory", self.imported),
            # Olivia wrote it, so she may read it; it is stored, because it is used again for each message.
            Secret("secret in the address of a webhook", self.in_url, OWNERS_OF_ADDRESSES),
        ]
        if self.vault:
            planted.append(Secret("Vault token of a run", self.vault_token))
            planted.extend(Secret("key of a host", line) for line in self.vault.key_lines)
        self.check_search(places, watch, link)
        for secret in planted:
            found = places.of(secret)
            self.report.count(f"secret: {secret.kind}")
            for place in found:
                self.report.fail(f"secret: {secret.kind}", f"it is in: {place}")

    def check_search(self, places: Places, watch: Watch, link: str) -> None:
        """What is known to be there must be found, or nothing that was not found means anything."""
        wanted = ("database", "answer to vera", "answer to olivia")
        found = places.with_text(self.marker)
        for name in wanted:
            if not any(place.startswith(name) for place in found):
                raise Broken(f"the marker is not found in: {name}")
        if not any("ansible-playbook" in text for text in watch.arguments):
            raise Broken("no playbook was seen among the processes")
        if not any("PM_EVENTS_FD" in text for text in watch.environments):
            raise Broken("the environment of no playbook was seen")
        for name in ("log", "mail to the approver", "webhook", "file data/work"):
            if not any(place.startswith(name) for place in places.texts):
                raise Broken(f"nothing was collected from: {name}")
        if "mail to the approver" not in places.with_text(link):
            raise Broken("the approval link is not found in the mail that brought it")


#: An address is stored as it was written; who may write it may read it.
OWNERS_OF_ADDRESSES = ("database", "answer to olivia", "answer to mallory", "answer to arjun", "webhook")


def files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        # PostgreSQL of other programs has large segments of shared memory.
        if path.is_file() and not path.is_symlink() and not path.name.startswith("PostgreSQL."):
            if path.stat().st_size < 50_000_000:
                yield path


def crawl(platform: Platform, person: str) -> Iterator[tuple[str, lab.Answer]]:
    """Every GET of every contract, with the ids that the lists name."""
    caller = platform.person(person)
    for service in lab.SERVICES:
        document = platform.tools.document(service)
        paths = [path for method, path, _ in lab.operations(document) if method == "GET"]
        known: dict[str, list[str]] = {}
        for path in sorted(paths, key=lambda path: path.count("{")):
            if path.endswith("/events"):
                continue
            for full in fill(path, known):
                answer = caller.get(service, full)
                yield f"{service}{full}", answer
                if answer.status == 200 and "{" not in path:
                    known[path] = ids(answer)


def fill(path: str, known: dict[str, list[str]]) -> list[str]:
    """The path with ids of the list before its first parameter; deeper parameters are not filled."""
    before, brace, after = path.partition("/{")
    if not brace:
        return [path]
    _, _, rest = after.partition("}")
    if "{" in rest:
        return []
    return [f"{before}/{urllib.parse.quote(one, safe='')}{rest}" for one in known.get(before, [])[:OPENED]]


def ids(answer: lab.Answer) -> list[str]:
    try:
        content = answer.json()
    except ValueError:
        return []
    items = content.get("items", []) if isinstance(content, dict) else content
    found: list[str] = []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            names = ("id", "slug", "name", "version", "ci_id", "cve_id", "os")
            found.extend(str(item[name]) for name in names[:1] if name in item)
            if "id" not in item:
                found.extend(str(item[name]) for name in names[1:] if item.get(name))
    return found


class Vault:
    """OpenBao with the key of one host, and a token that reads it."""

    def __init__(self, program: Path, folder: Path, token: str) -> None:
        self.root = fresh()
        port = lab.free_ports()
        self.authority = f"127.0.0.1:{port}"
        key, host = (self.pair(folder, name) for name in ("key", "host"))
        # The first lines are the same in every key, or have its public half.
        self.key_lines = [line for line in key[0].splitlines() if len(line) > 40 and "-" not in line][2:]
        self.host_key = host[1]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "BAO_DEV_ROOT_TOKEN_ID": self.root}
        self.log = folder / "openbao.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(program), "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={self.authority}"],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.caller = lab.Caller({"vault": f"http://{self.authority}"}, None)
        until("OpenBao is ready", 60, self.ready)
        policy = 'path "secret/data/patch-deploy/*" { capabilities = ["read"] }'
        self.write("sys/policies/acl/patching", {"policy": policy})
        self.write("secret/data/patch-deploy/real-1", {"data": {"private_key": key[0]}})
        self.write("auth/token/create", {"id": token, "policies": ["patching"], "ttl": "1h", "num_uses": USES})
        self.token = token

    def pair(self, folder: Path, name: str) -> tuple[str, str]:
        path = folder / name
        arguments = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "canary", "-f", str(path)]
        subprocess.run(arguments, check=True, timeout=30, stdin=subprocess.DEVNULL)
        kind, text, _ = path.with_suffix(".pub").read_text().split(" ", 2)
        return path.read_text(), f"{kind} {text}"

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise Broken(f"OpenBao ended: {self.log.read_text()[-500:]}")
        try:
            return self.send("GET", "secret/config", None).status == 200
        except OSError:
            return False

    def send(self, method: str, path: str, body: Any) -> lab.Answer:
        return self.caller.send(method, "vault", f"/v1/{path}", body, headers={"X-Vault-Token": self.root})

    def write(self, path: str, body: Any) -> None:
        answer = self.send("POST", path, body)
        if answer.status not in (200, 204):
            raise Broken(f"OpenBao refused {path}: {answer.status} {answer.text[:300]}")

    def was_asked(self) -> bool:
        """The platform looked up its token, and then read the key with it."""
        left = self.send("POST", "auth/token/lookup", {"token": self.token}).expect(200)["data"]["num_uses"]
        return left <= USES - 2

    def stop(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait(30)
