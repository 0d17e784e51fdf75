//! Which role each group of the provider has here.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use api_types::access::Role;

/// Groups with their roles, from a file that the administrator of the service writes.
#[derive(Debug, Clone, Default)]
pub(super) struct RoleMap(BTreeMap<String, Vec<Role>>);

impl RoleMap {
    /// A JSON object: `{ "patch-approvers": ["approver"] }`.
    pub fn from_file(file: &Path) -> anyhow::Result<Self> {
        let place = || format!("the roles of groups in `{}`", file.display());
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", place()))?;
        let map: BTreeMap<String, Vec<Role>> = serde_json::from_str(&text)
            .with_context(|| format!("cannot read {}; expected `{{\"group\": [\"viewer\"]}}`", place()))?;
        for (group, roles) in &map {
            anyhow::ensure!(
                !group.is_empty() && !roles.is_empty(),
                "{}: each group needs a name and a role",
                place()
            );
            let wrong = roles.iter().find(|role| matches!(role, Role::Service | Role::Agent));
            if let Some(role) = wrong {
                anyhow::bail!(
                    "{}: no person has the role `{}`, which group `{group}` has",
                    place(),
                    role.name()
                );
            }
        }
        anyhow::ensure!(!map.is_empty(), "{}: there is no group, so nobody could sign in", place());
        Ok(Self(map))
    }

    /// The roles of a member of these groups, each once.
    pub fn roles_of(&self, groups: &[&str]) -> Vec<Role> {
        let mut roles: Vec<Role> =
            groups.iter().filter_map(|group| self.0.get(*group)).flatten().copied().collect();
        roles.sort();
        roles.dedup();
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<RoleMap> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roles.json");
        std::fs::write(&file, text).unwrap();
        RoleMap::from_file(&file)
    }

    #[test]
    fn roles_of_all_groups_add_up() {
        let map = read(r#"{ "ops": ["operator", "viewer"], "cab": ["approver", "viewer"] }"#).unwrap();
        assert_eq!(map.roles_of(&["cab", "ops", "other"]), [Role::Viewer, Role::Operator, Role::Approver]);
        assert_eq!(map.roles_of(&["Ops", ""]), []);
    }

    #[test]
    fn wrong_file_is_named_with_its_fault() {
        for (text, reason) in [
            ("{}", "there is no group"),
            (r#"{ "a": [] }"#, "each group needs"),
            (r#"{ "a": ["root"] }"#, "cannot read"),
            (r#"{ "a": ["service"] }"#, "no person has the role `service`"),
            (r#"{ "a": ["agent"] }"#, "no person has the role `agent`"),
            ("a=b", "cannot read"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(reason) && error.contains("roles.json"), "{text}: {error}");
        }
    }
}
