//! Driver `linux`: small real Linux systems on this machine, reached over SSH.
//!
//! A host is a disk in a file over shared images, in its own namespaces and cgroup, under a supervisor that outlives the
//! sim-engine. It is a laboratory and not a sandbox: root in a host is root of the machine except for the namespaces, so run
//! nothing in a host that must not run on the machine.

mod cgroup;
mod command;
mod error;
mod fault;
mod files;
mod fleet;
mod host;
mod network;
mod preflight;
mod root_layer;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use api_types::sim::{CreateVm, HostImage, PowerAction};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use service_kit::{ApiError, ApiResult, problem_types};
use uuid::Uuid;

use super::{Driver, Image};
use crate::machine::{Condition, FaultState, Machine};

use error::FleetError;
use fleet::Fleet;
use host::{Host, HostState};

pub struct LinuxDriver(Arc<OnceLock<Result<Arc<Fleet>, String>>>);

/// A snapshot of a real host: the file `tag` in its folder.
#[derive(Serialize, Deserialize)]
struct SnapshotFile {
    host: CiId,
    tag: String,
}

impl LinuxDriver {
    /// Opens the fleet in the background, because it may have to build its images first.
    pub fn open(folder: PathBuf, images: PathBuf) -> Self {
        let opened = Arc::new(OnceLock::new());
        let result = opened.clone();
        tokio::task::spawn_blocking(move || {
            let fleet = Fleet::open(&folder, &images);
            match &fleet {
                Ok(_) => tracing::info!("the fleet in `{}` is ready", folder.display()),
                Err(error) => tracing::warn!("{error}"),
            }
            result.set(fleet.map(Arc::new).map_err(|error| error.to_string()))
        });
        Self(opened)
    }

    fn fleet(&self) -> ApiResult<Arc<Fleet>> {
        match self.0.get() {
            Some(Ok(fleet)) => Ok(fleet.clone()),
            Some(Err(reason)) => Err(ApiError::new(problem_types::DRIVER_UNAVAILABLE, reason.clone())),
            None => Err(ApiError::new(
                problem_types::FLEET_OPENING,
                "the driver `linux` is still building its images, which takes minutes the first time; retry later",
            )),
        }
    }

    /// Runs `work` on a blocking thread. It completes even if the caller stops waiting.
    async fn on_host<T: Send + 'static>(
        &self,
        id: &CiId,
        work: impl FnOnce(Host<'_>) -> Result<T, FleetError> + Send + 'static,
    ) -> ApiResult<T> {
        let (fleet, id) = (self.fleet()?, id.clone());
        let done = tokio::task::spawn_blocking(move || work(fleet.host(&id))).await;
        Ok(done.map_err(ApiError::internal)??)
    }
}

#[async_trait]
impl Driver for LinuxDriver {
    fn has_real_guests(&self) -> bool {
        true
    }

    async fn create(&self, request: &CreateVm, now: DateTime<Utc>) -> ApiResult<Machine> {
        check(request)?;
        let (os, image) = (request.os.clone(), request.image);
        let services: Vec<String> =
            request.guest.services.iter().map(|service| service.name.clone()).collect();
        let create = move |host: Host<'_>| Ok((host.create(&os, image, &services)?, host.access()?));
        let (state, access) = self.on_host(&request.id, create).await?;
        let mut machine = Machine::new(request, now);
        machine.ssh = Some(access);
        take_over(&mut machine, &state, now);
        Ok(machine)
    }

    async fn delete(&self, machine: &Machine) -> ApiResult<()> {
        self.discard(&machine.id).await
    }

    async fn set_power(
        &self,
        machine: &mut Machine,
        action: PowerAction,
        now: DateTime<Utc>,
    ) -> ApiResult<()> {
        let switch = move |host: Host<'_>| {
            if action != PowerAction::On {
                host.stop()?;
            }
            if action != PowerAction::Off {
                host.start()?;
            }
            host.state()
        };
        let state = self.on_host(&machine.id, switch).await?;
        take_over(machine, &state, now);
        Ok(())
    }

    async fn take_snapshot(&self, machine: &Machine) -> ApiResult<Image> {
        let file = SnapshotFile { host: machine.id.clone(), tag: Uuid::now_v7().to_string() };
        let tag = file.tag.clone();
        let size = self.on_host(&machine.id, move |host| host.snapshot(&tag)).await?;
        let size_bytes = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(Image { content: serde_json::to_value(file)?, size_bytes })
    }

    async fn revert_snapshot(
        &self,
        machine: &mut Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> ApiResult<()> {
        let file: SnapshotFile = serde_json::from_value(image.content)?;
        let state = self.on_host(&machine.id, move |host| host.revert(&file.tag)).await?;
        take_over(machine, &state, now);
        Ok(())
    }

    async fn delete_snapshot(&self, image: Image) -> ApiResult<()> {
        let file: SnapshotFile = serde_json::from_value(image.content)?;
        self.on_host(&file.host, move |host| host.delete_snapshot(&file.tag)).await
    }

    async fn observe(&self, machine: &mut Machine, now: DateTime<Utc>) -> ApiResult<bool> {
        let faults: Vec<Uuid> = machine.faults.iter().map(|fault| fault.shown.id).collect();
        let read = move |host: Host<'_>| {
            let strikes: Vec<_> = faults.into_iter().map(|fault| host.strikes(fault)).collect();
            Ok((host.state()?, strikes))
        };
        let (state, strikes) = self.on_host(&machine.id, read).await?;
        let mut changed = take_over(machine, &state, now);
        for (fault, strikes) in machine.faults.iter_mut().zip(strikes) {
            let Some((count, left)) = strikes else { continue };
            changed |= fault.shown.strikes != count;
            fault.draws = count.into();
            (fault.shown.strikes, fault.shown.times_left) = (count, left);
        }
        Ok(changed)
    }

    async fn arm(&self, machine: &Machine, fault: &FaultState) -> ApiResult<()> {
        let fault = fault.shown.clone();
        self.on_host(&machine.id, move |host| host.arm(&fault)).await
    }

    async fn disarm(&self, machine: &Machine, fault: &FaultState) -> ApiResult<()> {
        let fault = fault.shown.clone();
        let is_last = !machine
            .faults
            .iter()
            .any(|other| other.shown.id != fault.id && other.shown.kind == fault.kind && other.is_live());
        self.on_host(&machine.id, move |host| host.disarm(&fault, is_last)).await
    }

    async fn list_machines(&self) -> ApiResult<BTreeSet<CiId>> {
        let fleet = self.fleet()?;
        Ok(tokio::task::spawn_blocking(move || fleet.hosts()).await.map_err(ApiError::internal)??)
    }

    async fn discard(&self, id: &CiId) -> ApiResult<()> {
        self.on_host(id, |host| host.delete()).await
    }
}

/// Refuses a request that a real host cannot fulfil.
fn check(request: &CreateVm) -> ApiResult<()> {
    if !host::SYSTEMS.iter().any(|(os, _)| *os == request.os) {
        let known = host::SYSTEMS.map(|(os, _)| format!("`{os}`")).join(" or ");
        return Err(ApiError::invalid("/os", format!("must be {known} for the driver `linux`")));
    }
    if request.image == HostImage::Brownfield && request.os != host::BROWNFIELD {
        return Err(ApiError::invalid("/image", format!("`brownfield` is only for `{}`", host::BROWNFIELD)));
    }
    if request.id.as_str().len() > 63 || request.id.as_str().contains(':') {
        return Err(ApiError::invalid(
            "/id",
            "must be a host name of at most 63 characters for the driver `linux`",
        ));
    }
    if !request.guest.packages.is_empty() || !request.guest.held_packages.is_empty() {
        return Err(ApiError::invalid(
            "/guest/packages",
            "must be empty for the driver `linux`: a host has the packages of its image",
        ));
    }
    Ok(())
}

/// Takes over the state of the host. Returns whether anything differs.
fn take_over(machine: &mut Machine, state: &HostState, now: DateTime<Utc>) -> bool {
    match state {
        HostState::Up(boot_id) => machine.observe(Condition::Up, Some(*boot_id), now),
        HostState::Off => machine.observe(Condition::Off, None, now),
        HostState::Failed | HostState::DiskMissing => machine.observe(Condition::Failed, None, now),
    }
}
