//! The rules between and inside crates that the compiler does not know, checked on manifests and parsed source.

mod cycles;
mod diagram;
mod directions;
mod layers;
mod purity;
mod references;
mod sizes;
mod source;

use crate::architecture::source::Source;
use crate::task::Verdict;
use crate::workspace::Workspace;

/// Crates from the lowest to the highest: each may depend only on those before it.
const ORDER: [&str; 24] = [
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
    "terminal",
    "sim-engine",
    "itsm",
    "cmdb",
    "patch-compliance",
    "patch-runs",
    "patch-releases",
    "patch-manager",
    "patchctl",
    "test-skip",
    "test-support",
    "xtask",
];

/// No clock, no randomness, no outside world: time and randomness are arguments.
const PURE: [&str; 5] = ["domain", "advisories", "planner", "simulator", "patchplanner-reference"];

/// Crates with layers, and the service that each is part of. Services use each other through HTTP only.
const SERVICES: [(&str, &str); 7] = [
    ("patch-manager", "patch-manager"),
    ("patch-compliance", "patch-manager"),
    ("patch-runs", "patch-manager"),
    ("patch-releases", "patch-manager"),
    ("cmdb", "cmdb"),
    ("itsm", "itsm"),
    ("sim-engine", "sim-engine"),
];

/// Crates that would serve another product as well, with the own crates each may know: the service kit speaks the
/// wire's conventions (problems, pages, roles) and nothing of patching.
const PRODUCT_FREE: [(&str, &[&str]); 4] = [
    ("bound-child", &[]),
    ("local-postgres", &["bound-child"]),
    ("leases", &[]),
    ("service-kit", &["api-types", "leases"]),
];

/// Nothing that ships may depend on these.
const TOOLS: [&str; 3] = ["test-skip", "test-support", "xtask"];

/// Files of a circle of imports, at most.
const LONGEST_CYCLE: usize = 5;

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut violations = directions::violations(workspace);
    violations.extend(purity::violations(workspace)?);
    let mut sizes = sizes::Sizes::new();
    for (name, details) in &workspace.crates {
        let folder = details.dir.join("src");
        let source = Source::read(&folder)?;
        let shown = folder.strip_prefix(&workspace.root).unwrap_or(&folder).display().to_string();
        for found in layers::violations(name, &source) {
            let file = source.files[found.file].path.display();
            violations.push(format!("{shown}/{file}:{}: {}", found.line, found.text));
        }
        for circle in cycles::longer_than(LONGEST_CYCLE, &source) {
            violations.push(format!(
                "{shown}: {} files import each other in a circle, more than {LONGEST_CYCLE}: {}",
                circle.len(),
                circle.join(", ")
            ));
        }
        sizes.insert(name.clone(), sizes::of_crate(details, &source)?);
    }
    violations.extend(sizes::violations(&sizes));
    violations.extend(diagram::violations(workspace)?);
    if violations.is_empty() {
        let lines: usize = sizes.values().sum();
        return Ok(Verdict::Passed(format!(
            "{} crates, {lines} lines outside tests",
            workspace.crates.len()
        )));
    }
    Ok(Verdict::Failed(violations.join("\n")))
}

/// Lines of Rust per crate, outside tests.
pub fn lines(workspace: &Workspace) -> anyhow::Result<String> {
    let mut sizes = sizes::Sizes::new();
    for (name, details) in &workspace.crates {
        let source = Source::read(&details.dir.join("src"))?;
        sizes.insert(name.clone(), sizes::of_crate(details, &source)?);
    }
    Ok(sizes::table(workspace, &sizes))
}

/// Redraws the diagram of crates in docs/ARCHITECTURE.md.
pub fn write_diagram(workspace: &Workspace) -> anyhow::Result<()> {
    let changed = diagram::write(workspace)?;
    println!("the diagram in docs/ARCHITECTURE.md is {}", if changed { "redrawn" } else { "up to date" });
    Ok(())
}

fn service_of(name: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(known, _)| *known == name).map(|(_, service)| *service)
}
