//! What is done to one host: the steps of its workflow, as data.

mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ids::GivenService, restart::RestartServices};

pub use step::{OnFailure, StepRule, StepSettings, WorkflowStep};

/// Whether and when a host is rebooted after its update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Reboot {
    Never,
    /// The host decides after the update.
    #[default]
    IfRequired,
    Always,
}

/// What happens to a host that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Rollback {
    /// It is returned to its snapshot at once.
    #[default]
    Auto,
    /// It stays as it is until an operator requests `rollback`.
    Manual,
    Never,
}

/// How a host can be rolled back; decided when the run is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RollbackMode {
    Snapshot,
    /// The package manager downgrades to the previous versions, which the host's repositories still offer.
    Downgrade,
    None,
}

/// Which means of rollback a policy prefers for a host that has both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RollbackPreference {
    /// The whole machine is rolled back, including everything else that changed on it.
    #[default]
    Snapshot,
    /// Only the packages are rolled back; data written since then stays.
    Downgrade,
}

/// A program with its arguments; never a shell command line.
pub type Command = Vec<String>;

/// The workflow of a host around its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HostWorkflow {
    /// Free disk space below which a host is not patched, in percent.
    pub min_disk_free_percent: u8,
    pub pre_downtime_commands: Vec<Command>,
    pub drain_timeout_seconds: u32,
    pub pre_update_commands: Vec<Command>,
    pub post_update_commands: Vec<Command>,
    /// Run as root on each real host instead of the platform's own update, one after the other. An administrator must have
    /// allowed their programs (`PATCH_UPDATE_PROGRAMS`). What they install is not known in advance, and never pre-approved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub update_commands: Vec<Command>,
    pub health_timeout_seconds: u32,
    /// All services must be healthy for this long without a break.
    pub health_stable_seconds: u32,
    /// The whole workflow of a host may take this long.
    pub host_timeout_seconds: u32,
    /// Timeouts, retries and consequences of steps that differ from the defaults.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schema(value_type = std::collections::HashMap<String, StepSettings>))]
    pub steps: BTreeMap<WorkflowStep, StepSettings>,
    /// How to find out that a host is drained; absent: its services decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    #[serde(skip_serializing_if = "MaintenanceHooks::is_empty")]
    pub maintenance_hooks: MaintenanceHooks,
    /// Services that are stopped, started and watched: those of them that the CMDB names for a host, or all of them if it
    /// names none. Empty: those the CMDB names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<GivenService>,
    /// Which services are restarted after the update because they still run deleted files. Those that are not stay in the
    /// report of the host as `pending_restart`.
    #[serde(skip_serializing_if = "is_default")]
    pub restart_services: RestartServices,
    /// Services that `restart_services` lists, in addition to those that the CMDB names for a host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restart_service_names: Vec<GivenService>,
    /// Whether a run installs Python on real hosts that have none, as root and with the package manager of the host, before
    /// anything else. It is never pre-approved. Nothing is known of the packages of such a host before, so its updates follow with
    /// a later run. By default, the host is not ready.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bootstrap_python: bool,
}

/// Left out if it is the default, so that what was stored before the field existed keeps its hash.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Polled until it confirms or the step times out. `{host}` is replaced by the host's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Drain {
    /// Runs on the host; exits with 0 once it is drained.
    Command(Command),
    /// Requested by the platform; answers 2xx once the host is drained.
    Url(String),
}

/// Programs of the platform's hook folder that notify monitoring of maintenance: the program's name in that folder, then
/// its arguments, in which `{host}` is replaced by the host's id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MaintenanceHooks {
    pub on: Vec<Command>,
    pub off: Vec<Command>,
}

impl MaintenanceHooks {
    pub fn is_empty(&self) -> bool {
        self.on.is_empty() && self.off.is_empty()
    }
}

impl Default for HostWorkflow {
    fn default() -> Self {
        Self {
            min_disk_free_percent: 5,
            pre_downtime_commands: Vec::new(),
            drain_timeout_seconds: 300,
            pre_update_commands: Vec::new(),
            post_update_commands: Vec::new(),
            update_commands: Vec::new(),
            health_timeout_seconds: 600,
            health_stable_seconds: 0,
            host_timeout_seconds: 3600,
            steps: BTreeMap::new(),
            drain: None,
            maintenance_hooks: MaintenanceHooks::default(),
            services: Vec::new(),
            restart_services: RestartServices::Never,
            restart_service_names: Vec::new(),
            bootstrap_python: false,
        }
    }
}

/// Most commands of one phase, arguments of one command and bytes of one argument.
const COMMANDS: usize = 50;
const WORDS: usize = 100;
const WORD_BYTES: usize = 4096;

impl HostWorkflow {
    /// The rule for a step under a policy with this rollback mode.
    pub fn rule(&self, step: WorkflowStep, rollback: Rollback) -> StepRule {
        let mut settings = self.steps.get(&step).copied().unwrap_or_default();
        settings.timeout_seconds = settings.timeout_seconds.or(match step {
            WorkflowStep::Drain => Some(self.drain_timeout_seconds),
            WorkflowStep::Health => Some(self.health_timeout_seconds),
            _ => None,
        });
        settings.rule(step, self.host_timeout_seconds, rollback)
    }

    /// The first program of `update_commands` that is not among the allowed ones: its position, and why it is refused.
    pub fn refused_update(&self, allowed: &[String]) -> Option<(usize, String)> {
        let program = |command: &Command| command.first().cloned().unwrap_or_default();
        let mut programs = self.update_commands.iter().map(program).enumerate();
        let (position, program) = programs.find(|(_, program)| !allowed.contains(program))?;
        let known = match allowed {
            [] => "none is".to_owned(),
            allowed => format!("allowed are `{}`", allowed.join("`, `")),
        };
        let reason = format!(
            "`{program}` is not a program that an administrator allows for updates, in PATCH_UPDATE_PROGRAMS ({known})"
        );
        Some((position, reason))
    }

    /// Errors beyond the shape of single fields: JSON pointer below the workflow, and reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |wrong: bool, pointer: &str, reason: &str| {
            if wrong {
                faults.push((pointer.to_owned(), reason.to_owned()));
            }
        };
        let host_timeout = self.host_timeout_seconds;
        check(self.min_disk_free_percent > 99, "/min_disk_free_percent", "must be at most 99");
        check(!(30..=86_400).contains(&host_timeout), "/host_timeout_seconds", "must be 30 to 86400");
        let too_long = "must not exceed host_timeout_seconds";
        check(self.health_timeout_seconds > host_timeout, "/health_timeout_seconds", too_long);
        check(self.drain_timeout_seconds > host_timeout, "/drain_timeout_seconds", too_long);
        if let Some(Drain::Url(url)) = &self.drain {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            let is_plain = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
                && url.len() <= 2000
                && !url.contains(|c: char| c.is_whitespace() || c.is_control());
            check(!is_plain, "/drain/url", "must be an http or https address of at most 2000 characters");
        }
        for (pointer, services) in
            [("/services", &self.services), ("/restart_service_names", &self.restart_service_names)]
        {
            check(services.len() > 100, pointer, "must name at most 100 services");
            for (position, service) in services.iter().enumerate() {
                if let Err(error) = service.name() {
                    check(true, &format!("{pointer}/{position}"), &error.to_string());
                }
            }
        }
        check(
            self.restart_services == RestartServices::Never && !self.restart_service_names.is_empty(),
            "/restart_service_names",
            "has no effect while `restart_services` is `never`; set that to `listed` or `all`",
        );
        let drain = match &self.drain {
            Some(Drain::Command(command)) => std::slice::from_ref(command),
            _ => &[],
        };
        for (pointer, commands) in [
            ("/pre_downtime_commands", self.pre_downtime_commands.as_slice()),
            ("/pre_update_commands", &self.pre_update_commands),
            ("/post_update_commands", &self.post_update_commands),
            ("/update_commands", &self.update_commands),
            ("/maintenance_hooks/on", &self.maintenance_hooks.on),
            ("/maintenance_hooks/off", &self.maintenance_hooks.off),
            ("/drain/command", drain),
        ] {
            check(commands.len() > COMMANDS, pointer, "must contain at most 50 commands");
            for (position, command) in commands.iter().enumerate() {
                let at = format!("{pointer}/{position}");
                let at = if pointer == "/drain/command" { pointer } else { &at };
                check(command.len() > WORDS, at, "must have at most 100 arguments");
                check(command.first().is_none_or(String::is_empty), at, "must start with a program");
                let is_odd = |word: &String| word.len() > WORD_BYTES || word.contains('\0');
                check(
                    command.iter().any(is_odd),
                    at,
                    "contains an argument of more than 4096 bytes or with a NUL",
                );
                let is_hook = pointer.starts_with("/maintenance_hooks");
                let is_foreign = is_hook && !command.first().is_some_and(|program| is_hook_name(program));
                check(is_foreign, at, "must start with the name of a file in the platform's hook folder");
            }
        }
        for (step, settings) in &self.steps {
            for (field, reason) in settings.faults(*step, host_timeout) {
                faults.push((format!("/steps/{}/{field}", step.name()), reason));
            }
        }
        faults
    }
}

/// The name of a file in one folder; never a path that leaves it.
fn is_hook_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=100).contains(&name.len()) && name.chars().all(is_part) && !name.starts_with(['-', '.'])
}

/// One test of a host, run by Ansible before and after its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HostTest {
    pub name: String,
    #[serde(flatten)]
    pub check: HostCheck,
}

/// What a test checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum HostCheck {
    Reachable,
    ServiceActive { service: GivenService },
    PortOpen { port: u16 },
    ConfigValid { service: GivenService },
    PackageInstalled { package: String },
    DiskFree { percent: u8 },
    ClockSynchronised { max_offset_ms: u32 },
    NoRebootPending,
    PackageDatabaseConsistent,
}

impl HostTest {
    /// The service that it checks.
    pub fn service(&self) -> Option<&GivenService> {
        match &self.check {
            HostCheck::ServiceActive { service } | HostCheck::ConfigValid { service } => Some(service),
            _ => None,
        }
    }
}
