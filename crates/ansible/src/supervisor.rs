//! Waits for the child, stops it in steps, and reports how it ended.

use std::{
    fs,
    future::pending,
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    event::{End, Ended, Event, ExitKind},
    event_reader::{LastLine, StreamSummary},
    inventory::Inventory,
    process::{self, KILL_GRACE},
    run::{StopGraces, StopLevel},
    run_folder::{RunFolder, remove_secrets},
    ssh_files::learned_keys,
};

const SSH_EXIT_GRACE: Duration = Duration::from_secs(2);

pub(crate) struct Supervisor {
    pub child: Child,
    pub pid: u32,
    pub inventory: Inventory,
    pub folder: RunFolder,
    pub timeout: Duration,
    pub silent_after: Duration,
    pub graces: StopGraces,
    pub stop: watch::Receiver<StopLevel>,
    pub exited: watch::Sender<bool>,
    /// When the playbook was heard of last.
    pub lines: watch::Receiver<LastLine>,
    pub reader: JoinHandle<StreamSummary>,
    pub log: JoinHandle<()>,
    pub judge: JoinHandle<()>,
    pub events: mpsc::Sender<Event>,
}

/// Why the child had to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    None,
    Requested,
    TimedOut,
    Silent,
}

/// What it took to end the child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    StopFile,
    Terminate,
    Kill,
}

impl Supervisor {
    pub async fn run(mut self) {
        let (status, cause, means) = self.wait_for_exit().await;
        let exit = status.map_or(ExitKind::Signal(nix::sys::signal::Signal::SIGKILL as i32), ExitKind::of);
        let _ = self.exited.send(true);
        self.judge.abort();
        // Both readers end with the pipes; workers that outlive a killed parent hold these open for a moment longer.
        let summary = self.reader.await.unwrap_or_default();
        if timeout(SSH_EXIT_GRACE, &mut self.log).await.is_err() {
            self.log.abort();
        }
        for (host, key) in learned_keys(&self.inventory, &self.folder) {
            let _ = self.events.send(Event::HostKeyLearned { host, key }).await;
        }
        close_ssh_masters(&self.folder).await;
        if let Err(error) = remove_secrets(self.folder.path()) {
            tracing::error!(%error, folder = %self.folder.path().display(), "cannot remove the secrets of a run");
        }
        let ended = Ended {
            end: judge(exit, cause, means, summary.has_stats),
            exit,
            unfinished: self
                .inventory
                .hosts()
                .filter(|host| !summary.finished.contains(*host))
                .cloned()
                .collect(),
        };
        let _ = self.events.send(Event::Ended(ended)).await;
    }

    async fn wait_for_exit(&mut self) -> (Option<ExitStatus>, Cause, Means) {
        let cause = tokio::select! {
            status = self.child.wait() => return (status.ok(), Cause::None, Means::StopFile),
            () = reached(self.stop.clone(), StopLevel::AtTaskBoundary) => Cause::Requested,
            () = sleep(self.timeout) => Cause::TimedOut,
            () = silence(self.lines.clone(), self.silent_after) => Cause::Silent,
        };
        if cause == Cause::Silent {
            tracing::warn!(
                pid = self.pid,
                "a playbook has been silent for {} s and is ended",
                self.silent_after.as_secs()
            );
        }
        if let Err(error) = fs::File::create(self.folder.stop_file()) {
            // The run then does not stop at a task boundary, and the next means follows.
            tracing::warn!(%error, "cannot ask a run to stop between two steps");
        }
        tokio::select! {
            status = self.child.wait() => return (status.ok(), cause, Means::StopFile),
            () = reached(self.stop.clone(), StopLevel::AtOnce) => {}
            // What is silent does not notice the request.
            () = sleep(if cause == Cause::Silent { Duration::ZERO } else { self.graces.finish }) => {}
        }
        process::terminate(self.pid);
        if let Ok(status) = timeout(self.graces.terminate, self.child.wait()).await {
            return (status.ok(), cause, Means::Terminate);
        }
        process::kill_tree(self.pid);
        let status = timeout(KILL_GRACE, self.child.wait()).await.ok().and_then(io::Result::ok);
        (status, cause, Means::Kill)
    }
}

/// Waits until the playbook has written nothing for too long, not even a heartbeat.
async fn silence(mut lines: watch::Receiver<LastLine>, allowed: Duration) {
    loop {
        let last = *lines.borrow_and_update();
        let too_long = async {
            match last.silent_at(allowed) {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = too_long => return,
            changed = lines.changed() => if changed.is_err() {
                // The stream has ended; so has the playbook, or its timeout ends it.
                return pending().await;
            }
        }
    }
}

/// Waits until a stop of this level is requested; forever when no handle is left.
async fn reached(mut stop: watch::Receiver<StopLevel>, level: StopLevel) {
    if stop.wait_for(|current| *current >= level).await.is_err() {
        pending::<()>().await;
    }
}

fn judge(exit: ExitKind, cause: Cause, means: Means, stats: bool) -> End {
    match (cause, means, exit) {
        // It completed before it noticed the request to stop.
        (_, _, ExitKind::Ok) => End::Succeeded,
        (Cause::TimedOut, ..) => End::TimedOut,
        (Cause::Silent, ..) => End::Silent,
        (Cause::Requested, Means::StopFile, _) => End::Stopped,
        (Cause::Requested, Means::Terminate, _) => End::Terminated,
        (Cause::Requested, Means::Kill, _) => End::Killed,
        (Cause::None, _, ExitKind::HostsFailed | ExitKind::HostsUnreachable | ExitKind::PlayBroken)
            if stats =>
        {
            End::HostsFailed
        }
        (Cause::None, _, ExitKind::Error | ExitKind::BadOptions | ExitKind::HostsUnreachable) => End::Refused,
        (Cause::None, ..) => End::Crashed,
    }
}

/// Connections that ssh keeps for later tasks outlive Ansible, and nothing uses them again.
async fn close_ssh_masters(folder: &RunFolder) {
    let Some(sockets) = folder.control_sockets() else { return };
    let sockets: Vec<_> =
        fs::read_dir(sockets).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let closing: Vec<_> =
        sockets.iter().map(|socket| tokio::spawn(close_ssh_master(socket.clone()))).collect();
    for close in closing {
        let _ = close.await;
    }
}

async fn close_ssh_master(socket: impl AsRef<Path>) {
    let mut control_path = std::ffi::OsString::from("ControlPath=");
    control_path.push(socket.as_ref());
    let mut ssh = Command::new("ssh");
    ssh.args(["-O", "exit", "-o"]).arg(control_path).arg("unused");
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _ = timeout(SSH_EXIT_GRACE, ssh.status()).await;
}
