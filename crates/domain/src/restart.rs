//! Services that still run code which an update has replaced: what a host reports, and what may be done about it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::ServiceName;

/// Which services of a host still run files that are deleted, as after an update of a library.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum StaleServices {
    /// Nobody looked, as with pushed inventories: it is unknown.
    #[default]
    NotChecked,
    /// The host could not say it: it is unknown.
    Failed { reason: String },
    Checked {
        /// Empty: all services run the installed code.
        services: Vec<StaleService>,
    },
}

/// A service, or another group of processes, with the deleted files that it runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StaleService {
    pub kind: ProcessGroup,
    /// The unit of systemd, or the name of the program if no unit of the host has started it.
    pub name: String,
    /// How many of its processes run deleted files.
    pub processes: u32,
    /// The first of these files.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What processes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ProcessGroup {
    /// The service manager itself, which is the first process of the host.
    Manager,
    Service,
    /// A person's login, with everything that it started.
    Session,
    /// A container, a virtual machine, or a process without a unit.
    Other,
}

/// How a stale service gets to run the installed code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Remedy {
    Restart,
    /// A restart interrupts more than the service: containers, the network, a desktop. Only a policy that lists it allows it.
    RestartIfListed,
    /// The service manager starts itself again and keeps its services: `systemctl daemon-reexec`.
    Reexecute,
    /// It cannot be restarted while the host runs.
    Reboot,
    /// It ends when the person logs out.
    Logout,
    /// Nobody but its owner knows how it is started.
    ByHand,
}

/// Which stale services are restarted after an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RestartServices {
    /// They are only reported.
    #[default]
    Never,
    /// Those that the policy or the CMDB lists for the host.
    Listed,
    /// All that can be restarted without harm, and the listed ones.
    All,
}

/// What a host is asked to do about its stale services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// In this order.
    pub services: Vec<String>,
    /// Whether the service manager executes itself again.
    pub reexecute: bool,
}

/// Services that others hold connections to which they cannot open again: the message bus, and the logins that depend on it.
const NEED_REBOOT: [&str; 5] =
    ["dbus", "dbus-broker", "systemd-logind", "systemd-user-sessions", "user-runtime-dir@"];
/// Services whose restart stops what they carry.
const CARRY_OTHERS: [&str; 19] = [
    "NetworkManager",
    "containerd",
    "crio",
    "display-manager",
    "docker",
    "gdm",
    "gdm3",
    "getty@",
    "kubelet",
    "libvirtd",
    "lightdm",
    "networking",
    "podman",
    "sddm",
    "serial-getty@",
    "systemd-networkd",
    "virtqemud",
    "wpa_supplicant",
    "xdm",
];

impl StaleService {
    pub fn remedy(&self) -> Remedy {
        match self.kind {
            ProcessGroup::Manager => Remedy::Reexecute,
            ProcessGroup::Session => Remedy::Logout,
            ProcessGroup::Other => Remedy::ByHand,
            ProcessGroup::Service if is_one_of(&NEED_REBOOT, &self.name) => Remedy::Reboot,
            ProcessGroup::Service if is_one_of(&CARRY_OTHERS, &self.name) => Remedy::RestartIfListed,
            ProcessGroup::Service if ServiceName::new(&self.name).is_ok() => Remedy::Restart,
            ProcessGroup::Service => Remedy::ByHand,
        }
    }
}

/// Whether a unit is one of these services; `getty@` means every instance.
fn is_one_of(names: &[&str], unit: &str) -> bool {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let template = name.split_once('@').map(|(template, _)| template);
    names.iter().any(|one| match one.strip_suffix('@') {
        Some(of_template) => template == Some(of_template),
        None => *one == name,
    })
}

impl StaleServices {
    pub fn is_not_checked(&self) -> bool {
        *self == Self::NotChecked
    }

    /// Those that were found; empty if nobody could look.
    pub fn found(&self) -> &[StaleService] {
        match self {
            Self::Checked { services } => services,
            Self::NotChecked | Self::Failed { .. } => &[],
        }
    }

    /// What to restart; `listed` are the services that the policy or the CMDB lists for the host, with or without `.service`.
    pub fn restarts(&self, rule: RestartServices, listed: &BTreeSet<String>) -> Restarts {
        let is_listed = |name: &str| {
            listed.contains(name) || name.strip_suffix(".service").is_some_and(|plain| listed.contains(plain))
        };
        let may_restart = |service: &&StaleService| match (rule, service.remedy()) {
            (RestartServices::Never, _) => false,
            (RestartServices::All, Remedy::Restart) => true,
            (_, Remedy::Restart | Remedy::RestartIfListed) => is_listed(&service.name),
            _ => false,
        };
        let mut services: Vec<String> =
            self.found().iter().filter(may_restart).map(|service| service.name.clone()).collect();
        services.sort_unstable();
        let needs_reexecution = self.found().iter().any(|service| service.remedy() == Remedy::Reexecute);
        Restarts { services, reexecute: rule == RestartServices::All && needs_reexecution }
    }

    /// What is left to do on the host, in words; `None` if nothing is known to be left.
    pub fn pending_text(&self) -> Option<String> {
        match self {
            Self::NotChecked => None,
            Self::Failed { reason } => Some(format!("whether services need a restart is unknown: {reason}")),
            Self::Checked { services } if services.is_empty() => None,
            Self::Checked { services } => {
                let named: Vec<String> = services
                    .iter()
                    .take(MOST_NAMED)
                    .map(|service| format!("{} ({})", service.name, service.remedy().instruction()))
                    .collect();
                let more = match services.len().saturating_sub(MOST_NAMED) {
                    0 => String::new(),
                    count => format!(" and {count} more"),
                };
                Some(format!("pending restart of {}{more}", named.join(", ")))
            }
        }
    }
}

/// Services in one message; all of them are in the report.
const MOST_NAMED: usize = 10;

impl Remedy {
    /// What a person does.
    pub fn instruction(self) -> &'static str {
        match self {
            Self::Restart => "restart it",
            Self::RestartIfListed => "restart it; this interrupts what it carries",
            Self::Reexecute => "run `systemctl daemon-reexec`",
            Self::Reboot => "reboot the host",
            Self::Logout => "ends with the login",
            Self::ByHand => "restart it by hand",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale(kind: ProcessGroup, name: &str) -> StaleService {
        StaleService { kind, name: name.to_owned(), processes: 1, files: Vec::new() }
    }

    fn found(names: &[&str]) -> StaleServices {
        let services = names.iter().map(|name| stale(ProcessGroup::Service, name)).collect();
        StaleServices::Checked { services }
    }

    #[test]
    fn every_group_of_processes_has_its_remedy() {
        use ProcessGroup::*;
        for (kind, name, remedy) in [
            (Service, "ssh.service", Remedy::Restart),
            (Service, "systemd-journald.service", Remedy::Restart),
            (Service, "postgresql@15-main.service", Remedy::Restart),
            (Service, "dbus.service", Remedy::Reboot),
            (Service, "dbus-fancy.service", Remedy::Restart),
            (Service, "systemd-logind.service", Remedy::Reboot),
            (Service, "docker.service", Remedy::RestartIfListed),
            (Service, "getty@tty1.service", Remedy::RestartIfListed),
            (Service, "--force.service", Remedy::ByHand),
            (Service, "a b.service", Remedy::ByHand),
            (Manager, "init.scope", Remedy::Reexecute),
            (Session, "session-3.scope", Remedy::Logout),
            (Other, "docker-0a.scope", Remedy::ByHand),
        ] {
            assert_eq!(stale(kind, name).remedy(), remedy, "{name}");
        }
    }

    #[test]
    fn policy_decides_which_are_restarted() {
        let host = found(&["ssh.service", "cron.service", "docker.service", "dbus.service"]);
        let listed = BTreeSet::from(["cron".to_owned(), "docker.service".to_owned(), "dbus".to_owned()]);
        let restarts = |rule| host.restarts(rule, &listed).services;
        assert_eq!(restarts(RestartServices::Never), [""; 0]);
        assert_eq!(restarts(RestartServices::Listed), ["cron.service", "docker.service"]);
        assert_eq!(restarts(RestartServices::All), ["cron.service", "docker.service", "ssh.service"]);
        let unlisted = host.restarts(RestartServices::All, &BTreeSet::new());
        assert_eq!(unlisted.services, ["cron.service", "ssh.service"]);
        assert!(!unlisted.reexecute);

        let services = vec![stale(ProcessGroup::Manager, "init.scope")];
        let manager = StaleServices::Checked { services };
        assert!(manager.restarts(RestartServices::All, &BTreeSet::new()).reexecute);
        assert_eq!(manager.restarts(RestartServices::Listed, &listed), Restarts::default());
    }

    #[test]
    fn only_a_host_that_was_asked_has_nothing_pending() {
        assert_eq!(found(&[]).pending_text(), None);
        let text = found(&["ssh.service", "dbus.service"]).pending_text().unwrap();
        assert_eq!(text, "pending restart of ssh.service (restart it), dbus.service (reboot the host)");
        let failed = StaleServices::Failed { reason: "root is needed".to_owned() };
        assert!(failed.pending_text().unwrap().contains("unknown: root is needed"));
        let stored = serde_json::json!({ "state": "checked", "services": [] });
        assert_eq!(serde_json::from_value::<StaleServices>(stored).unwrap(), found(&[]));
    }
}
