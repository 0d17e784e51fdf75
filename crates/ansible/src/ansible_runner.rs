//! Starts `ansible-playbook`.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use bound_child::{BoundCommand, ProcessStat};
use domain::ids::CiId;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::{
    net::unix::pipe,
    process::Child,
    runtime::Handle,
    sync::{mpsc, watch},
};

use crate::{
    by_hand::ByHand,
    environment::{ChildSettings, bare_environment},
    error::StartError,
    event_reader::{LastLine, read_events},
    judge,
    lease_file::LeaseFile,
    output_log::OutputLog,
    playbook::{Playbooks, installation_folders},
    process::Orphan,
    run::{EVENT_BUFFER, PlaybookRun, RunningPlaybook, StopHandle, StopLevel},
    run_folder::{RunFolder, remove_secrets},
    secret::Redactor,
    ssh::SshConnection,
    ssh_files::SshFiles,
    supervisor::Supervisor,
};

/// A question about the version is answered within seconds, or not at all.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

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

    /// Finds program and playbooks. The program is `PATCH_ANSIBLE_PLAYBOOK`, or in the private environment `.patch/venv`
    /// of the workspace, or in `PATH`.
    pub fn locate() -> Result<Self, StartError> {
        Ok(Self::new(locate_program().ok_or(StartError::ProgramNotFound)?, Playbooks::locate()?))
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The first line of what `--version` prints, or why there is none.
    pub async fn version(&self) -> Result<String, String> {
        let home =
            tempfile::tempdir().map_err(|error| format!("cannot create a temporary folder: {error}"))?;
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("--version").env_clear().envs(bare_environment(&self.program, home.path()));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let answered = tokio::time::timeout(VERSION_TIMEOUT, command.output()).await;
        let output = match answered {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("`ansible-playbook` cannot be started: {error}")),
            Err(_) => {
                return Err(format!(
                    "`ansible-playbook --version` took longer than {} s",
                    VERSION_TIMEOUT.as_secs()
                ));
            }
        };
        if !output.status.success() {
            return Err(format!("`ansible-playbook --version` failed: {}", output.status));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
        first.map(str::to_owned).ok_or_else(|| "`ansible-playbook --version` printed nothing".to_owned())
    }

    pub async fn start(&self, run: PlaybookRun) -> Result<RunningPlaybook, StartError> {
        // A task of its own, so that a caller that is cancelled half-way leaves no child without a supervisor.
        let started = tokio::spawn(self.clone().start_run(run));
        started.await.map_err(|error| self.spawn_error(io::Error::other(error)))?
    }

    async fn start_run(self, run: PlaybookRun) -> Result<RunningPlaybook, StartError> {
        let (playbook, folder) = self.prepare_folder(&run)?;
        let path = folder.path().to_owned();
        let started = self.start_in(folder, playbook, run).await;
        if started.is_err()
            && let Err(error) = remove_secrets(&path)
        {
            tracing::error!(%error, folder = %path.display(), "cannot remove the secrets of a run");
        }
        started
    }

    /// Writes the files of a run without starting it.
    pub fn prepare_by_hand(&self, run: &PlaybookRun) -> Result<ByHand, StartError> {
        let (playbook, folder) = self.prepare_folder(run)?;
        let failed = |source| StartError::RunFolder { path: run.run_dir.clone(), source };
        let questions = judge::listen(&folder.judge()).map_err(failed).inspect_err(|_| {
            // Nothing secret is in it yet, but its private part is in memory.
            remove_secrets(folder.path()).ok();
        })?;
        let by_hand = ByHand {
            program: self.program.clone(),
            playbooks: self.playbooks.clone(),
            playbook,
            forks: run.forks.max(1),
            judge: tokio::spawn(judge::answer_questions(questions)),
            folder,
        };
        write_files(&by_hand.folder, run)?;
        Ok(by_hand)
    }

    fn prepare_folder(&self, run: &PlaybookRun) -> Result<(PathBuf, RunFolder), StartError> {
        let playbook = self.playbooks.path(run.playbook)?;
        if run.inventory.hosts().len() == 0 {
            return Err(StartError::NoHosts);
        }
        let failed = |source| StartError::RunFolder { path: run.run_dir.clone(), source };
        Ok((playbook, RunFolder::prepare(run.run_dir.clone()).map_err(failed)?))
    }

    /// If this fails, the caller removes the secrets; otherwise the supervisor does.
    async fn start_in(
        &self,
        folder: RunFolder,
        playbook: PathBuf,
        run: PlaybookRun,
    ) -> Result<RunningPlaybook, StartError> {
        let folder_error = |source| StartError::RunFolder { path: run.run_dir.clone(), source };
        write_files(&folder, &run)?;

        let spawn_error = |source| self.spawn_error(source);
        let (events_read, events_write) = io::pipe().map_err(spawn_error)?;
        let (output_read, output_write) = io::pipe().map_err(spawn_error)?;
        let settings = ChildSettings {
            program: &self.program,
            playbooks: &self.playbooks,
            folder: &folder,
            forks: run.forks.max(1),
            events_pipe: events_write.as_raw_fd(),
        };
        let mut command = Command::new(&self.program);
        for inventory in folder.inventories() {
            command.arg("-i").arg(inventory);
        }
        command.arg("-e").arg(at(&folder.variables()));
        command.arg(&playbook).current_dir(folder.path());
        command.env_clear().envs(settings.environment()).stdin(Stdio::null());
        command.stdout(output_write.try_clone().map_err(spawn_error)?).stderr(output_write);

        let keys = run.inventory.ssh_hosts().flat_map(|(_, ssh)| ssh.secrets());
        let secrets = run.secrets.iter().chain(&run.api_token).chain(keys);
        let redactor = Redactor::new(secrets);
        let log = OutputLog::create(&folder.log(), redactor.clone()).map_err(folder_error)?;
        let events_pipe = pipe::Receiver::from_owned_fd(events_read.into()).map_err(spawn_error)?;
        let output_pipe = pipe::Receiver::from_owned_fd(output_read.into()).map_err(spawn_error)?;

        let judge = judge::listen(&folder.judge()).map_err(folder_error)?;

        // From here on nothing fails that would leave the child without a supervisor.
        let child = spawn(command, events_write.into()).await.map_err(spawn_error)?;
        // A child that has not been waited for keeps its pid and its start time, even after it has ended.
        let gone = || self.spawn_error(io::Error::other("the process was gone at once"));
        let pid = child.id().ok_or_else(gone)?;
        let process = Orphan::of(pid, ProcessStat::read(pid).ok_or_else(gone)?.start_time);
        let (events, received) = mpsc::channel(EVENT_BUFFER);
        let (stop, stopped) = watch::channel(StopLevel::None);
        let (exited, has_exited) = watch::channel(false);
        let (log_path, lease_file) = (folder.log(), LeaseFile::at(folder.lease_file()));
        let (last_line, lines) = watch::channel(LastLine::now());
        let supervisor = Supervisor {
            child,
            pid,
            inventory: run.inventory,
            folder,
            timeout: run.timeout,
            silent_after: run.silent_after,
            graces: run.stop_graces,
            stop: stopped,
            exited,
            lines,
            reader: tokio::spawn(read_events(events_pipe, redactor, events.clone(), has_exited, last_line)),
            log: tokio::spawn(log.copy_from(output_pipe)),
            judge: tokio::spawn(judge::answer_questions(judge)),
            events,
        };
        tokio::spawn(supervisor.run());
        Ok(RunningPlaybook { process, log: log_path, lease_file, events: received, stop: StopHandle(stop) })
    }

    fn spawn_error(&self, source: io::Error) -> StartError {
        StartError::Spawn { program: self.program.clone(), source }
    }
}

/// Starts a child that ends with this process and inherits only one pipe.
async fn spawn(command: Command, pipe: OwnedFd) -> io::Result<Child> {
    let runtime = Handle::current();
    let command = BoundCommand::new(command, Signal::SIGTERM).inherit(pipe);
    let spawn = move |command| {
        let _entered = runtime.enter();
        tokio::process::Command::from(command).spawn()
    };
    tokio::task::spawn_blocking(|| command.spawn_with(spawn)).await.map_err(io::Error::other)?
}

fn write_files(folder: &RunFolder, run: &PlaybookRun) -> Result<(), StartError> {
    let failed = |source| StartError::RunFolder { path: folder.path().to_owned(), source };
    let mut variables = run.extra_vars.clone();
    variables.set("pm_stop_file", folder.stop_file().to_string_lossy().into_owned());
    variables.set("pm_judge_socket", folder.judge().to_string_lossy().into_owned());
    if let Some(lease) = run.lease {
        LeaseFile::at(folder.lease_file()).extend(lease).map_err(failed)?;
        variables.set("pm_lease_file", folder.lease_file().to_string_lossy().into_owned());
    }
    if let Some(token) = &run.api_token {
        folder.write_secret(&folder.token(), token).map_err(failed)?;
        variables.set("pm_token_file", folder.token().to_string_lossy().into_owned());
    }
    let ssh_files = SshFiles::of(&run.inventory, folder);
    ssh_files.write(&run.inventory, folder).map_err(failed)?;
    let arguments = |host: &CiId, ssh: &SshConnection| ssh_files.arguments(folder, host, ssh);
    let inventory = run.inventory.to_wire(|host| folder.key(host), arguments)?;
    folder.write_text(&folder.inventory(), &inventory.to_string()).map_err(failed)?;
    if let Some(passwords) = run.inventory.passwords_to_wire() {
        folder.write_secret(&folder.passwords(), &passwords).map_err(failed)?;
    }
    let variables = Value::Object(variables.to_wire()?).to_string();
    folder.write_text(&folder.variables(), &variables).map_err(failed)?;
    fs::write(folder.configuration(), "[defaults]\n").map_err(failed)
}

/// `@path`: a file of variables.
pub(crate) fn at(path: &Path) -> OsString {
    let mut argument = OsString::from("@");
    argument.push(path);
    argument
}

/// `ansible-inventory` of the same installation as `ansible-playbook`, which [`AnsibleRunner::locate`] finds.
pub fn locate_ansible_inventory() -> Option<PathBuf> {
    let program = locate_program()?.with_file_name("ansible-inventory");
    program.is_file().then_some(program)
}

fn locate_program() -> Option<PathBuf> {
    if let Some(program) = env::var_os("PATCH_ANSIBLE_PLAYBOOK") {
        return Some(program.into());
    }
    let private = (env::current_dir().into_iter().chain(installation_folders()))
        .map(|folder| folder.join(".patch/venv/bin/ansible-playbook"));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("ansible-playbook"));
    private.chain(on_path).find(|program| program.is_file())
}
