//! The rules between crates that the compiler does not know, checked on manifests and text.

mod directions;
mod purity;
mod text;

use crate::task::Verdict;
use crate::workspace::Workspace;

/// Crates from the lowest to the highest: each may depend on those before it alone.
const ORDER: [&str; 22] = [
    "domain",
    "advisories",
    "planner",
    "simulator",
    "patchplanner-reference",
    "bound-child",
    "local-postgres",
    "leases",
    "ansible",
    "api-types",
    "service-kit",
    "api-client",
    "sim-engine",
    "itsm",
    "cmdb",
    "patch-manager",
    "patchctl",
    "test-support",
    "xtask",
];

/// No clock, no chance, no outside world: time and randomness come in as arguments.
const PURE: [&str; 5] = ["domain", "advisories", "planner", "simulator", "patchplanner-reference"];

/// Services know each other through HTTP alone.
const SERVICES: [&str; 4] = ["patch-manager", "cmdb", "itsm", "sim-engine"];

/// Glue that would serve another product as well, with the own crates each may know all the same: the service kit
/// speaks the wire's conventions (problems, pages, roles), nothing of patching.
const PRODUCT_FREE: [(&str, &[&str]); 4] = [
    ("bound-child", &[]),
    ("local-postgres", &["bound-child"]),
    ("leases", &[]),
    ("service-kit", &["api-types", "leases"]),
];

/// Nothing that ships may depend on these.
const TOOLS: [&str; 2] = ["test-support", "xtask"];

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut violations = directions::violations(workspace);
    violations.extend(purity::violations(workspace)?);
    violations.extend(text::violations(workspace)?);
    if violations.is_empty() {
        return Ok(Verdict::Passed(format!("{} crates keep the rules", workspace.crates.len())));
    }
    Ok(Verdict::Failed(violations.join("\n")))
}
