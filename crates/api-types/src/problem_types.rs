//! Every type of problem that a service answers with, in one place. `docs/problems.md` is generated from it.

use std::fmt::Write;

/// A type of problem: what is always the same about it. The detail of one occurrence comes with the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// Stable name; `type` on the wire is `/problems/<name>`.
    pub name: &'static str,
    pub status: u16,
    pub title: &'static str,
    /// What it means and what to do.
    pub explanation: &'static str,
}

impl ProblemType {
    /// `type` as it is sent.
    pub fn uri(&self) -> String {
        format!("/problems/{}", self.name)
    }
}

macro_rules! problem_types {
    ($($constant:ident = $status:literal, $name:literal, $title:literal, $explanation:literal;)*) => {
        $(
            #[doc = $explanation]
            pub const $constant: &ProblemType =
                &ProblemType { name: $name, status: $status, title: $title, explanation: $explanation };
        )*

        /// In the order of their statuses.
        pub const ALL: &[&ProblemType] = &[$($constant),*];
    };
}

problem_types! {
    MALFORMED_REQUEST = 400, "malformed-request", "malformed request",
        "The request cannot be read: the body is not JSON, a query parameter is unknown, or a page token is not valid. Correct the request.";
    UNAUTHENTICATED = 401, "unauthenticated", "unauthenticated",
        "The request has no token, or the token is unknown, revoked or expired. Send a valid token as `Authorization: Bearer pm_...`.";
    BAD_SIGNATURE = 401, "bad-signature", "bad signature",
        "A callback is not signed by the receiver that it is expected from, or its timestamp is more than 5 minutes off. Check the secret, the deployment and the clock.";
    FORBIDDEN = 403, "forbidden", "forbidden",
        "The caller is known but may not do this: a role is missing, or the caller requested, opened or edited what is to be approved.";
    NO_LABORATORY = 403, "no-laboratory", "not a laboratory",
        "Machines are created, deleted and broken only in a laboratory. Start the sim-engine with `--laboratory`, if it simulates hosts.";
    NOT_FOUND = 404, "not-found", "not found",
        "Nothing has this id, or there is nothing at this path. `/docs` lists the paths.";
    METHOD_NOT_ALLOWED = 405, "method-not-allowed", "method not allowed",
        "The path does not accept this method. The `Allow` header lists the methods that it accepts.";
    SLOW_REQUEST = 408, "slow-request", "slow request",
        "The body of the request did not arrive in time. Send it again over a faster connection, or in parts.";
    EXISTS = 409, "exists", "already exists",
        "Something with this id already exists. Change it instead, or choose another id.";
    IN_FLIGHT = 409, "in-flight", "in flight",
        "The first request with this `Idempotency-Key` is still in progress. Send it again later.";
    OVERTAKEN = 409, "busy", "busy",
        "Another request changed the same data at the same time. Read it again and repeat the request.";
    UNKNOWN_TOKEN = 409, "unknown-token", "unknown token",
        "The token belongs to another database, for example from before a restore. List everything again and continue with the new token.";
    IN_MAINTENANCE = 409, "in-maintenance", "in maintenance",
        "The CI is in maintenance of another owner. Wait until it ends, or ask its owner or an administrator to end it.";
    DECOMMISSIONED = 409, "decommissioned", "decommissioned",
        "The CI is decommissioned. Make it active first.";
    CONTAINED_ALREADY = 409, "contained-already", "already contained",
        "Another CI already contains this one, and containment is a tree. Delete that relationship first.";
    CIRCULAR_CONTAINMENT = 409, "circular-containment", "circular containment",
        "The relationship would make a CI contain itself.";
    SYNC_RUNNING = 409, "sync-running", "synchronisation is running",
        "A synchronisation with the sim-engine is already running. `GET /cmdb/sync/status` shows its progress.";
    ILLEGAL_TRANSITION = 409, "illegal-transition", "illegal transition",
        "The present state of the change or incident does not allow this.";
    APPROVAL_VOID = 409, "approval-void", "approval is void",
        "The approval does not cover this plan, these CIs or this time span. Have the change approved again, or open one for this plan.";
    OUTSIDE_WINDOW = 409, "outside-window", "outside the window",
        "It is not possible at this time: the change's time span has not begun or has ended. Move the span.";
    TEMPLATE_MISSING = 409, "template-missing", "template is missing",
        "A standard change must name a template. `/itsm/templates` lists them.";
    TEMPLATE_DOES_NOT_FIT = 409, "template-does-not-fit", "template does not fit",
        "The change has a higher risk or a longer time span than its template approves. Open a normal change.";
    LINK_USED = 409, "link-used", "link was used",
        "The approval link has been used; each link decides once.";
    LINK_VOID = 409, "link-void", "link is void",
        "The change was edited after the approval link was sent. Use the link in the newer e-mail.";
    LINK_EXPIRED = 409, "link-expired", "link has expired",
        "The approval link has expired. Decide with a token, or have the change submitted again.";
    PROPOSAL_CLOSED = 409, "proposal-closed", "proposal is closed",
        "The proposal was confirmed or rejected, or has expired. Propose it again.";
    PROPOSAL_VOID = 409, "proposal-void", "proposal is void",
        "What the proposal would replace has changed since. Reject it and propose it again.";
    PROPOSAL_ELSEWHERE = 409, "proposal-elsewhere", "proposal of another service",
        "Another service carries out this proposal. Confirm it there; `service` of the proposal names it.";
    ALREADY_LINKED = 409, "already-linked", "already linked",
        "The incident already belongs to another problem. Change its `problem_id` instead.";
    NEEDS_OPERATOR = 409, "needs-operator", "needs an operator",
        "The database was restored or copied, and nothing is worked on until an administrator confirms it. `GET /patch/installation` says why; check it, then `patchctl restore confirm`.";
    RUN_STATE = 409, "run-state", "state of the run",
        "The present state of the run does not allow this.";
    RUN_OPEN = 409, "run-open", "run is open",
        "A run of this policy has not ended. Cancel it or wait until it ends.";
    ROLLBACK_UNAVAILABLE = 409, "rollback-unavailable", "rollback is not available",
        "No snapshot of this run is left to roll back to.";
    NO_SSH_KEY = 409, "no-ssh-key", "no SSH key",
        "There is no SSH key for this host. Start the service with `--ssh-key-file` or `--vault-address`, or store the key in Vault.";
    BAD_CONNECTION = 409, "bad-connection", "bad connection settings",
        "The connection attributes of the host are not valid. Correct them in the CMDB.";
    NOT_A_SERVICE = 409, "not-a-service", "not a service",
        "The plan names a service by a text that cannot be the name of one, so nothing is started or stopped. Correct the policy or the CMDB and make a new plan.";
    OUTBOUND_REFUSED = 409, "outbound-refused", "address is refused",
        "An address outside the platform points to this machine or a private network. An administrator can allow it with `--allow-outbound-to`.";
    ANSIBLE = 409, "ansible", "Ansible cannot be started",
        "`ansible-playbook` could not be started on the controller. The detail contains the reason.";
    TOO_MANY_FREEZES = 409, "too-many-freezes", "too many freezes",
        "The calendar would bring the number of freezes above its limit. Delete calendars that are over.";
    DEPENDENCY_REFUSED = 409, "dependency-refused", "dependency refused",
        "Another service refused a request that is part of this one. The detail contains its answer.";
    NAME_TAKEN = 409, "name-taken", "name is taken",
        "Another customer has this name.";
    CUSTOMER_EXISTS = 409, "customer-exists", "customer exists",
        "A customer with this slug already exists.";
    CUSTOMER_IN_ROLLOUT = 409, "customer-in-rollout", "customer is in a rollout",
        "A run is deploying to this customer. Wait until it ends.";
    RELEASE_EXISTS = 409, "release-exists", "release exists",
        "A release with this version already exists.";
    CHECKLIST_OPEN = 409, "checklist-open", "checklist is open",
        "Required items of the release's checklist are open. Tick them first.";
    DEMO_FIRST = 409, "demo-first", "demo comes first",
        "The release was not deployed to the demo tier yet.";
    NOT_ROLLED_OUT = 409, "not-rolled-out", "not rolled out",
        "The release was not rolled out yet, or not to this customer. Read its plan instead.";
    NOTHING_TO_DO = 409, "nothing-to-do", "nothing to do",
        "The request selects nothing that would change.";
    ROLLBACK_WINDOW_CLOSED = 409, "rollback-window-closed", "rollback window is closed",
        "The time in which the release can be rolled back for this customer is over.";
    DEPLOYMENT_ENDED = 409, "deployment-ended", "deployment has ended",
        "The deployment has already ended, and the callback reports something else.";
    CALLBACK_LATE = 409, "callback-late", "callback is late",
        "The deadline of the callback has passed, so that the deployment counts as failed. Its request named the deadline.";
    NO_WEBHOOK_KEY = 409, "no-webhook-key", "no key of webhooks",
        "The service has no key from which it could derive the secret. Start it with `--webhook-key-file`.";
    REPLAYED_MESSAGE = 409, "replayed-message", "replayed message",
        "A message with this `webhook-id` was accepted before. Send it no more; a new report needs a new id.";
    VM_EXISTS = 409, "vm-exists", "VM exists",
        "A VM with this id already exists.";
    DRIVER_MISSING = 409, "driver-missing", "driver is missing",
        "The sim-engine was started without the driver of this VM.";
    DRIVER_UNAVAILABLE = 409, "driver-unavailable", "driver is not available",
        "This machine cannot run VMs of this driver. The detail says what is missing.";
    REAL_GUEST = 409, "real-guest", "real guest",
        "The VM is a real Linux and is reached over SSH. `ssh` of `/sim/vms/{id}` contains the address.";
    FLEET_FULL = 409, "fleet-full", "fleet is full",
        "There is no room for another VM. Delete one first.";
    DISK_GONE = 409, "disk-gone", "disk is gone",
        "The disk of the VM is gone. Restore a snapshot or create the VM again.";
    TRANSACTION_IN_PROGRESS = 409, "transaction-in-progress", "transaction in progress",
        "A package transaction is running in the guest. Wait until it ends.";
    RUN_SUPERSEDED = 409, "run-superseded", "run has a later owner",
        "The guest has worked for a later owner of this run. The earlier owner must stop.";
    TOO_MANY_SNAPSHOTS = 409, "too-many-snapshots", "too many snapshots",
        "The VM has as many snapshots as it may have. Delete one first.";
    TOO_MANY_FAULTS = 409, "too-many-faults", "too many faults",
        "The VM has as many faults as it may have. Delete some first.";
    DEPLOYMENT_UNDER_WAY = 409, "deployment-under-way", "deployment is under way",
        "Another deployment to this customer is running.";
    STALE = 412, "stale", "stale",
        "`If-Match` names an older version. Read it again and repeat the change.";
    TOO_LARGE = 413, "too-large", "too large",
        "The body is larger than this path accepts.";
    UNSUPPORTED_MEDIA_TYPE = 415, "unsupported-media-type", "unsupported media type",
        "The path does not accept this content type.";
    UNSUPPORTED_CONTENT_ENCODING = 415, "unsupported-content-encoding", "unsupported content encoding",
        "The path does not accept this content encoding.";
    INVALID_REQUEST = 422, "invalid-request", "invalid request",
        "Fields are wrong. `errors` names each of them.";
    TOO_MANY_REQUESTS = 429, "too-many-requests", "too many requests",
        "The token or the address sends more requests that change something, or fails to sign in more often, than the service allows. `Retry-After` says when to try again.";
    TOO_MANY_IMPORTS = 429, "too-many-imports", "too many imports",
        "Too many feeds are being imported. Try again when one has ended.";
    REQUEST_FAILED = 500, "request-failed", "request failed",
        "The HTTP framework refused the request. The status of the answer says why; it may differ from 500.";
    INTERNAL = 500, "internal", "internal error",
        "The service failed. Its log has the reason under the request id of the answer.";
    DATABASE_UNAVAILABLE = 503, "database-unavailable", "database is not available",
        "The service cannot reach its database. Try again; `Retry-After` says when.";
    BUSY = 503, "busy", "busy",
        "Other requests are changing the same data. Try again.";
    DEPENDENCY_UNAVAILABLE = 503, "dependency-unavailable", "dependency is not available",
        "The service cannot reach another service that it needs. Try again.";
    LEASE = 503, "lease", "lease cannot be checked",
        "The service cannot check that it still owns the run. Try again.";
    LOST = 503, "lost", "run is being taken over",
        "Another replica is taking over the run. Try again.";
    NO_SPACE = 503, "no-space", "no space",
        "The service cannot store the feed. Check the space in its work directory.";
    FLEET_OPENING = 503, "fleet-opening", "fleet is starting",
        "The VMs of the fleet are being started. Try again.";
    GUEST_UNREACHABLE = 503, "guest-unreachable", "guest is not reachable",
        "The guest does not answer. It may be off, rebooting or broken.";
    CUSTOMER_UNHEALTHY = 503, "customer-unhealthy", "customer is not healthy",
        "The simulated application of the customer does not answer its health checks.";
    TIMED_OUT = 503, "timed-out", "timed out",
        "The answer took too long. Try again.";
}

/// The page of documentation, in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Problem types\n\n\
         Errors are RFC 9457 problems, sent as `application/problem+json`. `type` is `/problems/<name>`.\n\
         This page is generated from `crates/api-types/src/problem_types.rs`; run `cargo xtask docs` after a change.\n\n\
         | status | name | title | meaning |\n| --- | --- | --- | --- |\n",
    );
    for ProblemType { name, status, title, explanation } in ALL {
        // Writing to a `String` cannot fail.
        let _ = writeln!(page, "| {status} | `{name}` | {title} | {explanation} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_name_and_status_is_listed_once() {
        let unique: BTreeSet<(u16, &str)> = ALL.iter().map(|of| (of.status, of.name)).collect();
        assert_eq!(unique.len(), ALL.len());
    }

    #[test]
    fn list_is_in_the_order_of_statuses() {
        assert!(ALL.is_sorted_by_key(|of| of.status));
    }
}
