//! The table: a row for each operation of each service.

use super::{Method::*, Right, Who};
use crate::access::Role::{self, *};

const fn roles(roles: &'static [Role]) -> Who {
    Who::Roles(roles)
}

/// A person with a link, a signed callback, or an ID token; the operation checks it.
const PUBLIC: Who = Who::Public;
const READ: Who = roles(&[Viewer, Operator, Approver, Auditor, Admin, Service]);
const WORK: Who = roles(&[Operator, Admin, Service]);
const DECIDE: Who = roles(&[Approver]);
const CONFIRM: Who = roles(&[Approver, Admin]);
/// Who can have proposed something may withdraw it.
const WITHDRAW: Who = roles(&[Operator, Approver, Admin]);
const ADMIN: Who = roles(&[Admin]);
/// Who keeps the platform working, and who checks that.
const DIAGNOSE: Who = roles(&[Operator, Auditor, Admin, Service]);
const AUDIT: Who = roles(&[Auditor, Admin]);
/// An agent only for its own host.
const PUSH: Who = roles(&[Operator, Admin, Agent, Service]);
const ROTATE: Who = roles(&[Agent]);
/// People, in a browser.
const SIGN_IN: Who = roles(&[Viewer, Operator, Approver, Auditor, Admin]);

/// The rows of a service; empty for a service that does not exist.
pub(super) fn rows_of(service: &str) -> &'static [Right] {
    match service {
        "patch-manager" => PATCH_MANAGER,
        "cmdb" => CMDB,
        "itsm" => ITSM,
        "sim-engine" => SIM_ENGINE,
        _ => &[],
    }
}

const fn right(method: super::Method, path: &'static str, who: Who) -> Right {
    Right { method, path, who, served: super::Served::Always }
}

/// What builds and breaks a laboratory.
const fn in_laboratory(method: super::Method, path: &'static str, who: Who) -> Right {
    Right { method, path, who, served: super::Served::InLaboratory }
}

/// What runs need. Outside of a laboratory, people do not do it by hand.
const fn of_runs(method: super::Method, path: &'static str, who: Who) -> Right {
    Right { method, path, who, served: super::Served::ToRuns }
}

/// Served by every service.
pub(super) const ACCESS: &[Right] = &[
    right(Get, "/access/approvers", READ),
    right(Get, "/access/audit", AUDIT),
    right(Get, "/access/audit/check", AUDIT),
    right(Get, "/access/audit/exports", AUDIT),
    right(Get, "/access/audit/hashes", AUDIT),
    right(Get, "/access/me", READ),
    right(Get, "/access/oidc", PUBLIC),
    right(Post, "/access/oidc/logout", READ),
    right(Post, "/access/oidc/token", PUBLIC),
    right(Get, "/access/people", READ),
    right(Put, "/access/people/{subject}", ADMIN),
    right(Delete, "/access/people/{subject}", ADMIN),
    right(Get, "/access/proposals", READ),
    right(Post, "/access/proposals/{id}/confirm", CONFIRM),
    right(Post, "/access/proposals/{id}/reject", WITHDRAW),
    right(Post, "/access/session", SIGN_IN),
    right(Delete, "/access/session", READ),
    right(Get, "/access/tokens", AUDIT),
    right(Post, "/access/tokens/rotate", ROTATE),
    right(Post, "/access/tokens", ADMIN),
    right(Delete, "/access/tokens/{id}", ADMIN),
    right(Get, "/access/webhooks", READ),
    right(Post, "/access/webhooks", ADMIN),
    right(Delete, "/access/webhooks/{id}", ADMIN),
    right(Post, "/access/webhooks/{id}/rotate", ADMIN),
];

const PATCH_MANAGER: &[Right] = &[
    right(Get, "/patch/advisories", READ),
    right(Post, "/patch/advisories/import", WORK),
    right(Get, "/patch/advisories/imports", READ),
    right(Get, "/patch/advisories/imports/{id}", READ),
    right(Get, "/patch/advisories/{cve_id}", READ),
    right(Get, "/patch/advisories/{cve_id}/history", READ),
    right(Post, "/patch/advisories/{cve_id}/remediate", WORK),
    right(Get, "/patch/calendars", READ),
    right(Post, "/patch/calendars", WORK),
    right(Post, "/patch/calendars/conflicts", READ),
    right(Get, "/patch/calendars/{id}", READ),
    right(Delete, "/patch/calendars/{id}", WORK),
    right(Post, "/patch/callbacks/deployments", PUBLIC),
    right(Get, "/patch/compliance", READ),
    right(Get, "/patch/compliance/export", READ),
    right(Get, "/patch/compliance/history", READ),
    right(Get, "/patch/compliance/hosts", READ),
    right(Post, "/patch/compliance/scan", WORK),
    right(Get, "/patch/compliance/scans/{id}", READ),
    right(Get, "/patch/compliance/timeliness", READ),
    right(Get, "/patch/compliance/{ci_id}", READ),
    right(Get, "/patch/compliance/{ci_id}/packages", READ),
    right(Get, "/patch/compliance/{ci_id}/unfixed", READ),
    right(Get, "/patch/coverage", READ),
    right(Get, "/patch/customers", READ),
    right(Post, "/patch/customers", WORK),
    right(Get, "/patch/customers/{slug}", READ),
    right(Delete, "/patch/customers/{slug}", WORK),
    right(Patch, "/patch/customers/{slug}", WORK),
    right(Get, "/patch/customers/{slug}/health", READ),
    right(Put, "/patch/customers/{slug}/ratings/{version}", WORK),
    right(Post, "/patch/customers/{slug}/reports", WORK),
    right(Get, "/patch/deployments", READ),
    right(Get, "/patch/diagnosis", DIAGNOSE),
    right(Get, "/patch/exceptions", READ),
    right(Post, "/patch/exceptions", WORK),
    right(Get, "/patch/exceptions/{id}", READ),
    right(Delete, "/patch/exceptions/{id}", WORK),
    right(Get, "/patch/feeds", READ),
    right(Get, "/patch/feeds/presets", READ),
    right(Get, "/patch/feeds/{id}", READ),
    right(Put, "/patch/feeds/{id}", ADMIN),
    right(Delete, "/patch/feeds/{id}", ADMIN),
    right(Post, "/patch/feeds/{id}/fetch", WORK),
    right(Get, "/patch/installation", READ),
    right(Post, "/patch/installation/confirm", ADMIN),
    right(Post, "/patch/inventory", PUSH),
    right(Get, "/patch/packages/{name}", READ),
    right(Post, "/patch/plans/simulate", READ),
    right(Post, "/patch/plans/trace", READ),
    right(Get, "/patch/policies", READ),
    right(Post, "/patch/policies", WORK),
    right(Get, "/patch/policies/{id}", READ),
    right(Delete, "/patch/policies/{id}", WORK),
    right(Patch, "/patch/policies/{id}", WORK),
    right(Post, "/patch/policies/{id}/approve", DECIDE),
    right(Get, "/patch/policies/{id}/preview", READ),
    right(Post, "/patch/policies/{id}/preview", WORK),
    right(Get, "/patch/policies/{id}/versions", READ),
    right(Get, "/patch/predictions", READ),
    right(Post, "/patch/release-config/apply", WORK),
    right(Get, "/patch/release-lines", READ),
    right(Put, "/patch/release-lines/{version}", WORK),
    right(Delete, "/patch/release-lines/{version}", WORK),
    right(Get, "/patch/release-metrics", READ),
    right(Get, "/patch/release-policies", READ),
    right(Get, "/patch/releases", READ),
    right(Post, "/patch/releases", WORK),
    right(Get, "/patch/releases/{version}", READ),
    right(Patch, "/patch/releases/{version}", WORK),
    right(Put, "/patch/releases/{version}/checklist/{item}", WORK),
    right(Post, "/patch/releases/{version}/deploy", WORK),
    right(Post, "/patch/releases/{version}/emergency", WORK),
    right(Get, "/patch/releases/{version}/metrics", READ),
    right(Post, "/patch/releases/{version}/plan", READ),
    right(Post, "/patch/releases/{version}/rollback", WORK),
    right(Post, "/patch/releases/{version}/sign-off", DECIDE),
    right(Get, "/patch/releases/{version}/status", READ),
    right(Get, "/patch/releases/{version}/timeline", READ),
    right(Post, "/patch/releases/{version}/validate", WORK),
    right(Get, "/patch/runs", READ),
    right(Post, "/patch/runs", WORK),
    right(Get, "/patch/runs/{id}", READ),
    right(Post, "/patch/runs/{id}/cancel", WORK),
    right(Get, "/patch/runs/{id}/diff", READ),
    right(Get, "/patch/runs/{id}/events", READ),
    right(Get, "/patch/runs/{id}/hosts", READ),
    right(Post, "/patch/runs/{id}/hosts/{ci_id}/skip", WORK),
    right(Get, "/patch/runs/{id}/logs", READ),
    right(Post, "/patch/runs/{id}/pause", WORK),
    right(Get, "/patch/runs/{id}/plan", READ),
    right(Get, "/patch/runs/{id}/report", READ),
    right(Post, "/patch/runs/{id}/resume", WORK),
    right(Post, "/patch/runs/{id}/retry-failed", WORK),
    right(Post, "/patch/runs/{id}/rollback", WORK),
    right(Get, "/patch/runs/{id}/trace", READ),
    right(Get, "/patch/runs/{id}/waves", READ),
    right(Get, "/patch/search", READ),
    right(Get, "/patch/service-levels", READ),
    right(Put, "/patch/service-levels", ADMIN),
];

const CMDB: &[Right] = &[
    right(Get, "/cmdb/ansible/inventory", READ),
    right(Get, "/cmdb/changes", READ),
    right(Get, "/cmdb/cis", READ),
    right(Post, "/cmdb/cis", WORK),
    right(Get, "/cmdb/cis/{id}", READ),
    right(Delete, "/cmdb/cis/{id}", WORK),
    right(Patch, "/cmdb/cis/{id}", WORK),
    right(Get, "/cmdb/cis/{id}/history", READ),
    right(Get, "/cmdb/cis/{id}/impact", READ),
    right(Put, "/cmdb/cis/{id}/maintenance", WORK),
    right(Put, "/cmdb/cis/{id}/patch-state", WORK),
    right(Get, "/cmdb/cis/{id}/relationships", READ),
    right(Get, "/cmdb/graph", READ),
    right(Post, "/cmdb/graph", READ),
    right(Post, "/cmdb/import", WORK),
    right(Post, "/cmdb/relationships", WORK),
    right(Delete, "/cmdb/relationships", WORK),
    right(Delete, "/cmdb/relationships/{id}", WORK),
    right(Post, "/cmdb/sync", WORK),
    right(Get, "/cmdb/sync/status", READ),
];

const ITSM: &[Right] = &[
    right(Post, "/approve/{id}/decide", PUBLIC),
    right(Post, "/approve/{id}/read", PUBLIC),
    right(Get, "/itsm/changes", READ),
    right(Post, "/itsm/changes", WORK),
    right(Get, "/itsm/changes/{id}", READ),
    right(Patch, "/itsm/changes/{id}", WORK),
    right(Post, "/itsm/changes/{id}/approve", DECIDE),
    right(Post, "/itsm/changes/{id}/cancel", WORK),
    right(Post, "/itsm/changes/{id}/complete", WORK),
    right(Get, "/itsm/changes/{id}/conflicts", READ),
    right(Post, "/itsm/changes/{id}/execute", WORK),
    right(Post, "/itsm/changes/{id}/fail", WORK),
    right(Post, "/itsm/changes/{id}/reject", DECIDE),
    right(Post, "/itsm/changes/{id}/review", DECIDE),
    right(Post, "/itsm/changes/{id}/submit", WORK),
    right(Get, "/itsm/incidents", READ),
    right(Post, "/itsm/incidents", WORK),
    right(Get, "/itsm/incidents/{id}", READ),
    right(Patch, "/itsm/incidents/{id}", WORK),
    right(Post, "/itsm/incidents/{id}/resolve", WORK),
    right(Get, "/itsm/notifications", READ),
    right(Post, "/itsm/notifications", WORK),
    right(Get, "/itsm/notifications/{id}", READ),
    right(Post, "/itsm/notifications/{id}/resend", WORK),
    right(Get, "/itsm/problems", READ),
    right(Post, "/itsm/problems", WORK),
    right(Get, "/itsm/problems/{id}", READ),
    right(Patch, "/itsm/problems/{id}", WORK),
    right(Get, "/itsm/templates", READ),
    right(Put, "/itsm/templates/{name}", ADMIN),
    right(Post, "/itsm/templates/{name}/approve", DECIDE),
];

const SIM_ENGINE: &[Right] = &[
    right(Get, "/sim/clusters", READ),
    right(Get, "/sim/customers", READ),
    right(Get, "/sim/customers/{id}", READ),
    in_laboratory(Put, "/sim/customers/{id}", WORK),
    in_laboratory(Delete, "/sim/customers/{id}", WORK),
    of_runs(Post, "/sim/customers/{id}/deployments", WORK),
    right(Get, "/sim/customers/{id}/deployments/{deployment_id}", READ),
    in_laboratory(Put, "/sim/customers/{id}/faults", WORK),
    right(Get, "/sim/customers/{id}/health", READ),
    right(Get, "/sim/hosts", READ),
    right(Get, "/sim/inject", READ),
    in_laboratory(Post, "/sim/inject/{fault}", WORK),
    in_laboratory(Delete, "/sim/inject/{fault}", WORK),
    right(Get, "/sim/repositories/{os}", READ),
    in_laboratory(Put, "/sim/repositories/{os}", WORK),
    right(Get, "/sim/state", READ),
    right(Get, "/sim/state/diff", READ),
    right(Get, "/sim/vms", READ),
    in_laboratory(Post, "/sim/vms", WORK),
    in_laboratory(Post, "/sim/vms/bulk", WORK),
    right(Get, "/sim/vms/{id}", READ),
    in_laboratory(Delete, "/sim/vms/{id}", WORK),
    right(Get, "/sim/vms/{id}/guest", READ),
    of_runs(Post, "/sim/vms/{id}/guest/reboot", WORK),
    of_runs(Put, "/sim/vms/{id}/guest/runs/{run_id}", WORK),
    of_runs(Post, "/sim/vms/{id}/guest/services/{name}", WORK),
    right(Get, "/sim/vms/{id}/guest/transactions", READ),
    of_runs(Post, "/sim/vms/{id}/guest/transactions", WORK),
    right(Get, "/sim/vms/{id}/guest/transactions/{transaction_id}", READ),
    of_runs(Post, "/sim/vms/{id}/power", WORK),
    right(Get, "/sim/vms/{id}/snapshots", READ),
    of_runs(Post, "/sim/vms/{id}/snapshots", WORK),
    of_runs(Delete, "/sim/vms/{id}/snapshots/{snapshot_id}", WORK),
    of_runs(Post, "/sim/vms/{id}/snapshots/{snapshot_id}/rehearse", WORK),
    of_runs(Post, "/sim/vms/{id}/snapshots/{snapshot_id}/revert", WORK),
];
