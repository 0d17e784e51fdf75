//! The environment of the child, made from nothing: what this process holds in its own is not inherited.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use crate::{error::StartError, playbook::Playbooks, run_folder::RunFolder};

const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Names that steer programs; the rest, such as the address of a proxy, an operator may set.
const STEERING: &[&str] = &["ANSIBLE_", "PYTHON", "LD_", "PM_", "SSH_", "BASH", "LC_"];
const STEERING_NAMES: &[&str] = &["PATH", "HOME", "LANG", "IFS", "ENV", "SHELL", "TMPDIR"];

pub(crate) struct ChildSettings<'a> {
    pub program: &'a Path,
    pub playbooks: &'a Playbooks,
    pub folder: &'a RunFolder,
    pub forks: u16,
    pub events_pipe: String,
    pub extra: &'a BTreeMap<String, String>,
}

impl ChildSettings<'_> {
    pub fn environment(&self) -> Result<BTreeMap<OsString, OsString>, StartError> {
        let mut environment: BTreeMap<OsString, OsString> = BTreeMap::new();
        for (name, value) in self.extra {
            if !may_be_set(name) || value.contains('\0') {
                return Err(StartError::Environment(name.escape_default().to_string()));
            }
            environment.insert(name.into(), value.into());
        }
        let mut set = |name: &str, value: OsString| environment.insert(name.into(), value);

        let mut path = self.program.parent().map(|folder| folder.as_os_str().to_owned()).unwrap_or_default();
        path.push(":");
        path.push(SYSTEM_PATH);
        set("PATH", path);
        set("HOME", self.folder.path().into());
        set("TMPDIR", self.folder.temporary().into());
        set("LANG", "C.UTF-8".into());
        set("LC_ALL", "C.UTF-8".into());
        set("PM_EVENTS_FD", self.events_pipe.as_str().into());

        // A file of the run's own keeps Ansible from reading those of the machine, the user or the current folder.
        set("ANSIBLE_CONFIG", self.folder.configuration().into());
        set("ANSIBLE_HOME", self.folder.path().join("ansible").into());
        set("ANSIBLE_LOCAL_TEMP", self.folder.temporary().into());
        set("ANSIBLE_COLLECTIONS_PATH", self.playbooks.folder().join("collections").into());
        set("ANSIBLE_ROLES_PATH", self.playbooks.folder().join("roles").into());
        set("ANSIBLE_CALLBACKS_ENABLED", "datacenteros.patch.events".into());
        // An inventory is data: the plugin that would run it as a program is not enabled.
        set("ANSIBLE_INVENTORY_ENABLED", "yaml".into());
        set("ANSIBLE_INVENTORY_UNPARSED_FAILED", "True".into());
        set("ANSIBLE_FORKS", self.forks.to_string().into());
        set("ANSIBLE_GATHERING", "explicit".into());
        set("ANSIBLE_PIPELINING", "True".into());
        set("ANSIBLE_TIMEOUT", "10".into());
        set("ANSIBLE_HOST_KEY_CHECKING", "True".into());
        set("ANSIBLE_PYTHON_INTERPRETER", "auto_silent".into());
        set("ANSIBLE_SSH_ARGS", self.ssh_arguments().into());
        if let Some(sockets) = self.folder.control_sockets() {
            set("ANSIBLE_SSH_CONTROL_PATH_DIR", sockets.into());
        }
        for (name, value) in [
            ("ANSIBLE_NOCOLOR", "True"),
            ("ANSIBLE_RETRY_FILES_ENABLED", "False"),
            ("ANSIBLE_DEPRECATION_WARNINGS", "False"),
            ("ANSIBLE_LOCALHOST_WARNING", "False"),
            ("ANSIBLE_DISPLAY_SKIPPED_HOSTS", "False"),
        ] {
            set(name, value.into());
        }
        Ok(environment)
    }

    fn ssh_arguments(&self) -> String {
        // Ansible splits this text as a shell would.
        let configuration = self.folder.ssh_configuration();
        let mut arguments = format!("-F '{}'", configuration.to_string_lossy().replace('\'', "'\\''"));
        if self.folder.control_sockets().is_some() {
            arguments.push_str(" -o ControlMaster=auto -o ControlPersist=60s");
        }
        arguments
    }
}

fn may_be_set(name: &str) -> bool {
    let well_formed = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    let upper = name.to_ascii_uppercase();
    well_formed
        && !STEERING.iter().any(|prefix| upper.starts_with(prefix))
        && !STEERING_NAMES.contains(&upper.as_str())
}
