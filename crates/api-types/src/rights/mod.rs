//! Who may call which operation: all rights in one table. The services enforce it, and the contracts and `docs/access.md` are
//! written from it. An operation without a row is refused to everybody.

mod table;

use std::fmt::Write;

use crate::access::Role;

/// The services, in the order of the page.
pub const SERVICES: [&str; 4] = ["patch-manager", "cmdb", "itsm", "sim-engine"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Without a token.
    Public,
    /// A token with one of these roles.
    Roles(&'static [Role]),
}

/// Whether an operation depends on the sim-engine being a laboratory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    Always,
    /// Only in a laboratory.
    InLaboratory,
    /// Outside of a laboratory, only to services: that is how runs call it.
    ToRuns,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    pub method: Method,
    /// As in the contract: `/patch/runs/{id}`.
    pub path: &'static str,
    pub who: Who,
    pub served: Served,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has signed in.
    NoToken,
    /// The token has none of the roles.
    NoRole(&'static [Role]),
    NoLaboratory,
}

/// The rows of a service, with those that every service has.
pub fn of_service(service: &str) -> impl Iterator<Item = &'static Right> {
    table::ACCESS.iter().chain(table::rows_of(service))
}

impl Right {
    /// Whether a caller may call the operation. `roles` are those of the token; `None` without one.
    pub fn check(&self, roles: Option<&[Role]>, is_laboratory: bool) -> Result<(), Refusal> {
        let Who::Roles(allowed) = self.who else { return Ok(()) };
        let roles = roles.ok_or(Refusal::NoToken)?;
        if !roles.iter().any(|role| allowed.contains(role)) {
            return Err(Refusal::NoRole(allowed));
        }
        match self.served {
            Served::InLaboratory if !is_laboratory => Err(Refusal::NoLaboratory),
            Served::ToRuns if !is_laboratory && !roles.contains(&Role::Service) => Err(Refusal::NoLaboratory),
            _ => Ok(()),
        }
    }

    /// For the contract and the page: `viewer, operator`.
    pub fn names_of_roles(&self) -> Vec<&'static str> {
        match self.who {
            Who::Public => Vec::new(),
            Who::Roles(roles) => roles.iter().map(|role| role.name()).collect(),
        }
    }

    /// One sentence for the contract and the page.
    pub fn sentence(&self) -> String {
        let roles = self.names_of_roles();
        let who = match roles.as_slice() {
            [] => {
                "Needs no token; where it decides something, a link, a signature or an ID token is checked."
                    .to_owned()
            }
            [only] => format!("Role: `{only}`."),
            many => format!("Roles: `{}`.", many.join("`, `")),
        };
        match self.served {
            Served::Always => who,
            Served::InLaboratory => format!("{who} Only in a laboratory."),
            Served::ToRuns => format!("{who} Outside of a laboratory only `service`."),
        }
    }
}

/// `docs/access.md`.
pub fn page() -> String {
    let mut page = String::from(
        "# Who may call what\n\n\
         This page is generated from `crates/api-types/src/rights`; run `cargo xtask docs` after a change. The services enforce\n\
         the same table, and a test calls every operation with every role, without a token, and with an expired and a revoked\n\
         one.\n\n\
         `viewer` reads. `operator` plans, runs and changes. `approver` decides. `admin` does what `operator` does, and manages\n\
         tokens and people. `auditor` reads everything, the audit log included, and changes nothing. `agent` pushes the inventory\n\
         of one host and rotates its own token. `service` is for the platform's services. What two people must agree on is in\n\
         [security.md](security.md).\n",
    );
    for service in [None].into_iter().chain(SERVICES.map(Some)) {
        let (title, rows) = match service {
            None => ("Every service", table::ACCESS),
            Some(service) => (service, table::rows_of(service)),
        };
        let _ = write!(page, "\n## {title}\n\n| operation | who |\n| --- | --- |\n");
        for right in rows {
            let _ = writeln!(page, "| `{} {}` | {} |", right.method.name(), right.path, right.sentence());
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(service: &str, method: Method, path: &str) -> &'static Right {
        of_service(service).find(|right| (right.method, right.path) == (method, path)).unwrap()
    }

    #[test]
    fn each_operation_has_one_row() {
        for service in SERVICES {
            let mut seen = std::collections::HashSet::new();
            for right in of_service(service) {
                assert!(seen.insert((right.method.name(), right.path)), "{service} {right:?} has two rows");
            }
        }
        assert_eq!(of_service("nothing").count(), of_service("cmdb").count() - table::rows_of("cmdb").len());
    }

    #[test]
    fn auditors_and_agents_change_nothing_else() {
        for service in SERVICES {
            for right in of_service(service) {
                let is_read = right.method == Method::Get || right.check(Some(&[Role::Viewer]), true).is_ok();
                let who = format!("{service} {} {}", right.method.name(), right.path);
                if right.who != Who::Public {
                    assert_eq!(right.check(Some(&[Role::Auditor]), true).is_ok(), is_read, "{who}");
                    let own = ["/patch/inventory", "/access/tokens/rotate"].contains(&right.path);
                    assert_eq!(right.check(Some(&[Role::Agent]), true).is_ok(), own, "{who}");
                    assert_eq!(right.check(None, true), Err(Refusal::NoToken), "{who}");
                    assert!(matches!(right.check(Some(&[]), true), Err(Refusal::NoRole(_))), "{who}");
                }
            }
        }
    }

    #[test]
    fn without_a_laboratory_runs_keep_what_they_need() {
        let create = find("sim-engine", Method::Post, "/sim/vms");
        for role in [Role::Operator, Role::Admin, Role::Service] {
            assert_eq!(create.check(Some(&[role]), true), Ok(()));
            assert_eq!(create.check(Some(&[role]), false), Err(Refusal::NoLaboratory));
        }
        let power = find("sim-engine", Method::Post, "/sim/vms/{id}/power");
        assert_eq!(power.check(Some(&[Role::Operator]), true), Ok(()));
        assert_eq!(power.check(Some(&[Role::Admin]), false), Err(Refusal::NoLaboratory));
        assert_eq!(power.check(Some(&[Role::Service]), false), Ok(()));
        assert!(matches!(power.check(Some(&[Role::Viewer]), false), Err(Refusal::NoRole(_))));
    }
}
