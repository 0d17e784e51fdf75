//! The environment of the child, built from nothing: of the variables of this process it inherits only the list of authorities that
//! clients trust.

use std::{ffi::OsString, path::Path};

use crate::{playbook::Playbooks, run_folder::RunFolder};

const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program of Ansible needs to say which version it is. It writes to its home, even then.
pub(crate) fn bare_environment(program: &Path, home: &Path) -> [(&'static str, OsString); 4] {
    [
        ("PATH", search_path(program)),
        ("HOME", home.into()),
        ("LANG", "C.UTF-8".into()),
        ("LC_ALL", "C.UTF-8".into()),
    ]
}

/// The folder of the program, and those of the system.
fn search_path(program: &Path) -> OsString {
    let mut path = program.parent().map(|folder| folder.as_os_str().to_owned()).unwrap_or_default();
    path.push(":");
    path.push(SYSTEM_PATH);
    path
}

pub(crate) struct ChildSettings<'a> {
    pub program: &'a Path,
    pub playbooks: &'a Playbooks,
    pub folder: &'a RunFolder,
    pub forks: u16,
    /// Number under which the child finds the pipe.
    pub events_pipe: i32,
}

impl ChildSettings<'_> {
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut environment: Vec<(&str, OsString)> = vec![
            ("PATH", search_path(self.program)),
            ("HOME", self.folder.path().into()),
            ("TMPDIR", self.folder.temporary().into()),
            ("LANG", "C.UTF-8".into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("PM_EVENTS_FD", self.events_pipe.to_string().into()),
            // With a configuration file of the run's own, Ansible reads none of the machine, the user or the current folder.
            ("ANSIBLE_CONFIG", self.folder.configuration().into()),
            ("ANSIBLE_HOME", self.folder.path().join("ansible").into()),
            ("ANSIBLE_LOCAL_TEMP", self.folder.temporary().into()),
            ("ANSIBLE_COLLECTIONS_PATH", self.playbooks.folder().join("collections").into()),
            ("ANSIBLE_ROLES_PATH", self.playbooks.folder().join("roles").into()),
            ("ANSIBLE_CALLBACKS_ENABLED", "datacenteros.patch.events".into()),
            // An inventory is data: the plugin that would run it as a program is not enabled.
            ("ANSIBLE_INVENTORY_ENABLED", "yaml".into()),
            ("ANSIBLE_INVENTORY_UNPARSED_FAILED", "True".into()),
            ("ANSIBLE_FORKS", self.forks.to_string().into()),
            ("ANSIBLE_GATHERING", "explicit".into()),
            ("ANSIBLE_PIPELINING", "True".into()),
            ("ANSIBLE_TIMEOUT", "10".into()),
            ("ANSIBLE_HOST_KEY_CHECKING", "True".into()),
            ("ANSIBLE_PYTHON_INTERPRETER", "auto_silent".into()),
            ("ANSIBLE_SSH_ARGS", self.ssh_arguments().into()),
            ("ANSIBLE_NOCOLOR", "True".into()),
            ("ANSIBLE_RETRY_FILES_ENABLED", "False".into()),
            ("ANSIBLE_DEPRECATION_WARNINGS", "False".into()),
            ("ANSIBLE_LOCALHOST_WARNING", "False".into()),
            ("ANSIBLE_DISPLAY_SKIPPED_HOSTS", "False".into()),
        ];
        if let Some(authorities) = std::env::var_os("SSL_CERT_FILE") {
            environment.push(("SSL_CERT_FILE", authorities));
        }
        if let Some(sockets) = self.folder.control_sockets() {
            environment.push(("ANSIBLE_SSH_CONTROL_PATH_DIR", sockets.into()));
        }
        environment
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
