//! The real runner.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use domain::ids::CiId;
use serde_json::Value;
use tokio::{
    net::unix::pipe,
    process::Command,
    sync::{mpsc, watch},
};

use crate::{
    environment::ChildSettings,
    error::StartError,
    event_reader::read_events,
    output_log::OutputLog,
    playbook::Playbooks,
    process::{Orphan, start_time},
    run::{EVENT_BUFFER, PlaybookRun, RunningPlaybook, StopHandle, StopLevel},
    run_folder::{RunFolder, remove_secrets},
    runner::{PlaybookRunner, StartFuture},
    secret::Redactor,
    spawner,
    ssh::SshConnection,
    ssh_files::SshFiles,
    supervisor::Supervisor,
};

/// Runs `ansible-playbook`.
#[derive(Debug, Clone)]
pub struct AnsibleRunner {
    program: PathBuf,
    playbooks: Playbooks,
}

impl AnsibleRunner {
    pub fn new(program: impl Into<PathBuf>, playbooks: Playbooks) -> Self {
        Self { program: program.into(), playbooks }
    }

    /// Finds both: `PATCH_ANSIBLE_PLAYBOOK`, else the private environment `.patch/venv` of the workspace, else `PATH`.
    pub fn locate() -> Result<Self, StartError> {
        Ok(Self::new(locate_program().ok_or(StartError::ProgramNotFound)?, Playbooks::locate()?))
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    async fn start_run(self, run: PlaybookRun) -> Result<RunningPlaybook, StartError> {
        let playbook = self.playbooks.path(run.playbook)?;
        if run.inventory.hosts().len() == 0 {
            return Err(StartError::NoHosts);
        }
        let folder_error = |source| StartError::RunFolder { path: run.run_dir.clone(), source };
        let folder = RunFolder::prepare(run.run_dir.clone()).map_err(folder_error)?;
        let path = folder.path().to_owned();
        let started = self.start_in(folder, playbook, run).await;
        if started.is_err()
            && let Err(error) = remove_secrets(&path)
        {
            tracing::error!(%error, folder = %path.display(), "secrets of a run cannot be removed");
        }
        started
    }

    /// The caller removes the secrets when this fails; when it does not, the supervisor does.
    async fn start_in(
        &self,
        folder: RunFolder,
        playbook: PathBuf,
        run: PlaybookRun,
    ) -> Result<RunningPlaybook, StartError> {
        let folder_error = |source| StartError::RunFolder { path: run.run_dir.clone(), source };
        write_files(&folder, &run)?;

        let spawn_error = |source| StartError::Spawn { program: self.program.clone(), source };
        let (events_read, events_write) = io::pipe().map_err(spawn_error)?;
        let (output_read, output_write) = io::pipe().map_err(spawn_error)?;
        let events_write = events_write.into();
        let settings = ChildSettings {
            program: &self.program,
            playbooks: &self.playbooks,
            folder: &folder,
            forks: run.forks.max(1),
            events_pipe: spawner::number(&events_write),
            extra: &run.environment,
        };
        let mut command = Command::new(&self.program);
        command.arg("-i").arg(folder.inventory());
        command.arg("-e").arg(at(&folder.variables()));
        command.arg(&playbook).current_dir(folder.path());
        command.env_clear().envs(settings.environment()?).stdin(Stdio::null());
        command.stdout(output_write.try_clone().map_err(spawn_error)?).stderr(output_write);

        let keys = run.inventory.ssh_hosts().filter_map(|(_, ssh)| ssh.key.secret());
        let secrets = run.secrets.iter().chain(&run.api_token).chain(keys);
        let redactor = Redactor::new(secrets);
        let log = OutputLog::create(&folder.log(), redactor.clone()).map_err(folder_error)?;
        let events_pipe = pipe::Receiver::from_owned_fd(events_read.into()).map_err(spawn_error)?;
        let output_pipe = pipe::Receiver::from_owned_fd(output_read.into()).map_err(spawn_error)?;

        // From here on nothing fails that would leave the child without a supervisor.
        let child = spawner::spawn(command, events_write).await.map_err(spawn_error)?;
        // A child that has not been waited for keeps its pid and its start time, even when it has ended.
        let gone = || spawn_error(io::Error::other("the process was gone at once"));
        let pid = child.id().ok_or_else(gone)?;
        let process = Orphan { pid, start_time: start_time(pid).ok_or_else(gone)? };
        let (events, received) = mpsc::channel(EVENT_BUFFER);
        let (stop, stopped) = watch::channel(StopLevel::None);
        let (exited, has_exited) = watch::channel(false);
        let log_path = folder.log();
        let supervisor = Supervisor {
            child,
            pid,
            inventory: run.inventory,
            folder,
            timeout: run.timeout,
            graces: run.stop_graces,
            stop: stopped,
            exited,
            reader: tokio::spawn(read_events(events_pipe, redactor, events.clone(), has_exited)),
            log: tokio::spawn(log.copy_from(output_pipe)),
            events,
        };
        tokio::spawn(supervisor.run());
        Ok(RunningPlaybook { process, log: log_path, events: received, stop: StopHandle(stop) })
    }
}

impl PlaybookRunner for AnsibleRunner {
    fn start(&self, run: PlaybookRun) -> StartFuture<'_> {
        // A task of its own, so that a caller who gives up half-way leaves no child without a supervisor.
        let started = tokio::spawn(self.clone().start_run(run));
        Box::pin(async move {
            let broken = |source| StartError::Spawn {
                program: self.program.clone(),
                source: io::Error::other(source),
            };
            started.await.map_err(broken)?
        })
    }
}

fn write_files(folder: &RunFolder, run: &PlaybookRun) -> Result<(), StartError> {
    let failed = |source| StartError::RunFolder { path: folder.path().to_owned(), source };
    let mut variables = run.extra_vars.clone();
    variables.set("pm_stop_file", folder.stop_file().to_string_lossy().into_owned());
    if let Some(token) = &run.api_token {
        folder.write_secret(&folder.token(), token).map_err(failed)?;
        variables.set("pm_token_file", folder.token().to_string_lossy().into_owned());
    }
    let ssh_files = SshFiles::of(&run.inventory, folder);
    ssh_files.write(&run.inventory, folder).map_err(failed)?;
    let arguments = |host: &CiId, ssh: &SshConnection| ssh_files.arguments(folder, host, ssh);
    let inventory = run.inventory.to_wire(|host| folder.key(host), arguments)?;
    folder.write_json(&folder.inventory(), &inventory).map_err(failed)?;
    folder.write_json(&folder.variables(), &Value::Object(variables.to_wire()?)).map_err(failed)?;
    std::fs::write(folder.configuration(), "[defaults]\n").map_err(failed)
}

/// `@path`: a file of variables.
fn at(path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("@");
    argument.push(path);
    argument
}

fn locate_program() -> Option<PathBuf> {
    if let Some(program) = env::var_os("PATCH_ANSIBLE_PLAYBOOK") {
        return Some(program.into());
    }
    let here = env::current_dir().ok();
    let program = env::current_exe().ok();
    let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let private = (here.iter().map(PathBuf::as_path))
        .chain(program.iter().flat_map(|program| program.ancestors().skip(1).take(4)))
        .chain(source_tree)
        .map(|folder| folder.join(".patch/venv/bin/ansible-playbook"));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("ansible-playbook"));
    private.chain(on_path).find(|program| program.is_file())
}
