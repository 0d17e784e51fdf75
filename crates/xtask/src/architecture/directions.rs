use super::{ORDER, PRODUCT_FREE, TOOLS, service_of};
use crate::workspace::Workspace;

/// Judges normal and build dependencies; a dev-dependency ends up in no product.
pub fn violations(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for (name, details) in &workspace.crates {
        let shipped = details.dependencies.iter().filter(|dependency| !dependency.is_dev);
        let own = shipped.filter(|dependency| workspace.crates.contains_key(&dependency.name));
        let own: Vec<&str> = own.map(|dependency| dependency.name.as_str()).collect();
        found.extend(judge(name, &own));
    }
    found
}

fn judge(name: &str, dependencies: &[&str]) -> Vec<String> {
    let Some(place) = place_of(name) else {
        return vec![format!(
            "crate `{name}` has no place among the others; add it to ORDER in crates/xtask/src/architecture/mod.rs"
        )];
    };
    let judge_one = |dependency: &str| {
        let reason = if is_other_service(name, dependency) {
            "services use each other through HTTP only; use `api-client`"
        } else if TOOLS.contains(&dependency) && !TOOLS.contains(&name) {
            "it is for tests and builds; make it a dev-dependency"
        } else if PRODUCT_FREE.iter().any(|(glue, known)| *glue == name && !known.contains(&dependency)) {
            "it is free of the product and must stay so; pass what it needs as an argument"
        } else if place_of(dependency).is_none_or(|other| other >= place) {
            "dependencies point downwards only; move the shared part into a lower crate"
        } else {
            return None;
        };
        Some(format!("crate `{name}` depends on `{dependency}`: {reason}"))
    };
    dependencies.iter().filter_map(|dependency| judge_one(dependency)).collect()
}

fn is_other_service(name: &str, dependency: &str) -> bool {
    service_of(name).zip(service_of(dependency)).is_some_and(|(own, other)| own != other)
}

fn place_of(name: &str) -> Option<usize> {
    ORDER.iter().position(|other| *other == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downward_dependencies_pass() {
        assert!(judge("patch-manager", &["domain", "planner", "leases", "api-client"]).is_empty());
        assert!(judge("service-kit", &["leases", "api-types"]).is_empty());
        assert!(judge("patch-releases", &["patch-runs", "patch-compliance"]).is_empty());
        assert!(judge("xtask", &["local-postgres"]).is_empty());
    }

    #[test]
    fn each_wrong_direction_is_refused_with_its_reason() {
        let refusals = [
            ("domain", "planner", "downwards"),
            ("cmdb", "itsm", "HTTP only"),
            ("itsm", "cmdb", "HTTP only"),
            ("patchctl", "test-support", "dev-dependency"),
            ("patch-compliance", "cmdb", "HTTP only"),
            ("patch-compliance", "patch-runs", "downwards"),
            ("patch-runs", "patch-releases", "downwards"),
            ("leases", "domain", "free of the product"),
            ("service-kit", "domain", "free of the product"),
            ("api-types", "service-kit", "downwards"),
            ("newcomer", "domain", "no place"),
        ];
        for (name, dependency, reason) in refusals {
            let found = judge(name, &[dependency]).join("\n");
            assert!(found.contains(reason) && found.contains(name), "{name} -> {dependency}: {found}");
        }
    }
}
