"""One person tries to get something done that nobody else agreed to, as docs/security.md lists it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import lab
from lab import Answer, Caller, Platform, Tools
from report import Report

MANAGER, ITSM = "patch-manager", "itsm"
HASH = "0123456789abcdef" * 4


def attack(tools: Tools, report: Report) -> None:
    platform = lab.start(tools, "duties")
    try:
        platform.furnish()
        Attempts(platform, report).try_all()
    finally:
        platform.stop()


class Attempts:
    def __init__(self, platform: Platform, report: Report) -> None:
        self.platform, self.report = platform, report
        # Mallory has every role, and still is one person.
        self.mallory = platform.person("mallory")
        self.olivia = platform.person("olivia")
        self.admin = platform.admin()

    def refuse(self, what: str, answer: Answer, *statuses: int) -> None:
        self.report.count("attempts")
        if answer.status not in statuses:
            self.report.fail("attempts", f"{what}: {answer.status} instead of {statuses}: {answer.text[:300]}")

    def must(self, what: str, holds: bool, details: str = "") -> None:
        self.report.count("attempts")
        if not holds:
            self.report.fail("attempts", f"{what}: {details[:500]}")

    def try_all(self) -> None:
        self.own_change()
        self.own_addresses()
        self.own_policy()
        self.own_people()
        self.own_schedule_and_template()
        self.roles_below()

    def change(self, by: Caller, **more: Any) -> str:
        now = datetime.now(UTC)
        body = {
            "kind": "normal",
            "short_description": "attack",
            "ci_ids": ["web-01"],
            "start_at": (now - timedelta(minutes=1)).isoformat(),
            "end_at": (now + timedelta(hours=2)).isoformat(),
            "plan_hash": HASH,
            **more,
        }
        change = by.post(ITSM, "/itsm/changes", body).expect(201)["id"]
        by.post(ITSM, f"/itsm/changes/{change}/submit", {}).expect(200)
        return change

    def own_change(self) -> None:
        own = self.change(self.mallory)
        path = f"/itsm/changes/{own}/approve"
        self.refuse("approve an own change", self.mallory.post(ITSM, path, {}), 403)
        second = self.admin.post(ITSM, "/access/tokens", {"subject": "mallory", "roles": ["viewer"]}).expect(201)
        self.refuse("with another token", self.platform.caller(second["token"]).post(ITSM, path, {}), 403)
        foreign = self.change(self.olivia)
        self.mallory.send("PATCH", ITSM, f"/itsm/changes/{foreign}", {"plan_hash": HASH[::-1]}).expect(200)
        self.refuse("approve an edited change", self.mallory.post(ITSM, f"/itsm/changes/{foreign}/approve", {}), 403)
        state = self.olivia.get(ITSM, f"/itsm/changes/{own}").expect(200)["state"]
        self.must("the own change still waits", state == "pending_approval", state)
        audit = self.admin.get(ITSM, "/access/audit?limit=1000").expect(200)["items"]
        refusals = [record for record in audit if record["action"] == "refuse_approve_change"]
        self.must("refusals are audited", len(refusals) >= 2, str(refusals))
        for verb, body in (("execute", {"plan_hash": HASH}), ("complete", {"close_code": "successful"})):
            answer = self.mallory.post(ITSM, f"/itsm/changes/{own}/{verb}", body)
            self.refuse(f"{verb} a change that nobody approved", answer, 403, 409, 422)

    def own_addresses(self) -> None:
        now = datetime.now(UTC)
        for address in ("mallory@example.org", "stranger@example.org"):
            body = {"kind": "normal", "short_description": "x", "ci_ids": ["web-01"], "plan_hash": HASH,
                    "start_at": now.isoformat(), "end_at": (now + timedelta(hours=1)).isoformat(),
                    "approver_emails": [address]}
            self.refuse(f"a link to {address}", self.mallory.post(ITSM, "/itsm/changes", body), 422)
        taken = {"emails": ["arjun@example.com"], "roles": ["approver"]}
        answer = self.admin.put(ITSM, "/access/people/mallory", taken)
        self.refuse("take over the address of an approver", answer, 202, 409, 422)

    def own_policy(self) -> None:
        """Mallory writes the policy, starts the run and wants to approve its change."""
        policy = {"id": "mallory", "name": "x", "target_ci_tags": {"env": "staging"}}
        self.mallory.post(MANAGER, "/patch/policies", policy).expect(201)
        self.platform.scan()
        run = self.olivia.post(MANAGER, "/patch/runs", {"policy_id": "mallory"}).expect(202)["id"]
        waiting = self.platform.change_of(run)
        answer = self.mallory.post(ITSM, f"/itsm/changes/{waiting}/approve", {})
        self.refuse("approve the run of an own policy", answer, 403)
        for body in ({"plan_hash": "0" * 64}, {"ci_ids": ["web-01"]}):
            self.olivia.send("PATCH", ITSM, f"/itsm/changes/{waiting}", body)
        state = self.olivia.get(MANAGER, f"/patch/runs/{run}").expect(200)
        hosts = state.get("hosts") or {}
        touched = {name: count for name, count in hosts.items() if name in ("succeeded", "working") and count}
        self.must("no host was touched", not touched, str(hosts))

    def own_people(self) -> None:
        for roles in (["approver"], ["admin"]):
            answer = self.admin.post(ITSM, "/access/tokens", {"subject": "mole", "roles": roles})
            self.refuse(f"make {roles} alone", answer, 202)
            if answer.status == 202:
                path = f"/access/proposals/{answer.json()['id']}/confirm"
                self.refuse("confirm an own proposal", self.admin.post(ITSM, path, {}), 403)
        own = self.mallory.post(ITSM, "/access/tokens", {"subject": "mallory", "roles": ["admin"]})
        if own.status == 202:
            path = f"/access/proposals/{own.json()['id']}/confirm"
            self.refuse("confirm a role for oneself", self.mallory.post(ITSM, path, {}), 403)
        for subject in ("service:platform", "schedule:x", "Arjun", "arj\u00fcn", "\u0430rjun", "ar jun", "arjun\u200b"):
            answer = self.admin.post(ITSM, "/access/tokens", {"subject": subject, "roles": ["viewer"]})
            self.refuse(f"a token for {subject!r}", answer, 422)
        answer = self.admin.post(ITSM, "/access/tokens", {"subject": "robot", "roles": ["service"]})
        self.refuse("a token with the role service", answer, 422)

    def own_schedule_and_template(self) -> None:
        base = {"id": "preapproved", "name": "x", "target_ci_tags": {"env": "staging"}}
        change = {"standard_template": "monthly-baseline"}
        body = {**base, "change": change, "workflow": {"pre_update_commands": [["true"]]}}
        self.refuse("a template with commands", self.mallory.post(MANAGER, "/patch/policies", body), 422)
        self.mallory.post(MANAGER, "/patch/policies", {**base, "change": change}).expect(201)
        answer = self.mallory.post(MANAGER, "/patch/policies/preapproved/approve", {"version": 1})
        self.refuse("approve an own version", answer, 403)
        answer = self.mallory.post(ITSM, "/itsm/changes", {"requested_by": "arjun", **self.standard()})
        self.refuse("a change in another name", answer, 403)

    def standard(self) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {"kind": "normal", "short_description": "x", "ci_ids": ["web-01"], "plan_hash": HASH,
                "start_at": now.isoformat(), "end_at": (now + timedelta(hours=1)).isoformat()}

    def roles_below(self) -> None:
        """Nobody, readers and operators at every operation that needs more."""
        nobody, vera = self.platform.caller(None), self.platform.person("vera")
        revoked = self.admin.post(ITSM, "/access/tokens", {"subject": "gone", "roles": ["operator"]}).expect(201)
        self.admin.send("DELETE", ITSM, f"/access/tokens/{revoked['id']}").expect(204)
        for service in lab.SERVICES:
            for method, path, operation in lab.operations(self.platform.tools.document(service)):
                filled = fill(path)
                where = f"{method} {service}{path}"
                # Without a requirement: for a person with a link, or a signed callback.
                if operation.get("security") == []:
                    continue
                if not path.startswith("/approve/"):
                    answer = nobody.send(method, service, filled, body=None if method == "GET" else {})
                    self.refuse(f"nobody: {where}", answer, 401)
                    stale = self.platform.caller(revoked["token"])
                    self.refuse(f"a revoked token: {where}", stale.send(method, service, filled), 401)
                if "viewer" not in operation["x-roles"]:
                    answer = vera.send(method, service, filled, body={})
                    # Everybody reads proposals, so a reader may learn that one does not exist.
                    allowed = (403, 404) if path.startswith("/access/proposals/") else (403,)
                    self.refuse(f"a reader: {where}", answer, *allowed)


def fill(path: str) -> str:
    from vectors import fill as filled

    return filled(path)
