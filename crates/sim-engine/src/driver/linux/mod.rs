//! Driver `linux`: small real Linux systems on this machine, entered over SSH.
//!
//! A host is a file with a disk over shared images, in namespaces and a control group of its own, under a supervisor
//! that outlives the sim-engine. It is a laboratory and no sandbox: root in a host is the machine's root but for the
//! namespaces, so nothing may run there that may not run on the machine.

mod cgroup;
mod command;
mod error;
mod fault;
mod fleet;
mod host;
mod network;
mod preflight;
mod seed;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use api_types::sim::{CreateVm, PowerAction};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use service_kit::{ApiError, ApiResult, problem_types};
use uuid::Uuid;

use super::{Driver, Image, Operation};
use crate::machine::{Condition, FaultState, Machine};

use error::FleetError;
use fleet::Fleet;
use host::{Host, Life};

pub struct LinuxDriver(Arc<OnceLock<Result<Arc<Fleet>, String>>>);

/// What a snapshot of a real host is: a file of that name in its folder.
#[derive(Serialize, Deserialize)]
struct Kept {
    host: CiId,
    tag: String,
}

impl LinuxDriver {
    /// Opens the fleet in the background: its images may have to be made first.
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
            Some(Err(why)) => Err(ApiError::new(problem_types::DRIVER_UNAVAILABLE, why.clone())),
            None => Err(ApiError::new(
                problem_types::FLEET_OPENING,
                "the driver `linux` is still making its images, which takes minutes the first time; ask again",
            )),
        }
    }

    /// Works on a host beside the caller; what was begun ends, even when nobody waits for it any more.
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

impl Driver for LinuxDriver {
    fn has_real_guests(&self) -> bool {
        true
    }

    fn create<'a>(&'a self, request: &'a CreateVm, now: DateTime<Utc>) -> Operation<'a, Machine> {
        Box::pin(async move {
            check(request, &*self.fleet()?)?;
            let os = request.os.clone();
            let services: Vec<String> =
                request.guest.services.iter().map(|service| service.name.clone()).collect();
            let (life, access) = self
                .on_host(&request.id, move |host| Ok((host.create(&os, &services)?, host.access()?)))
                .await?;
            let mut machine = Machine::new(request, now);
            machine.ssh = Some(access);
            take_over(&mut machine, &life, now);
            Ok(machine)
        })
    }

    fn delete<'a>(&'a self, machine: &'a Machine) -> Operation<'a, ()> {
        Box::pin(self.on_host(&machine.id, |host| host.delete()))
    }

    fn set_power<'a>(
        &'a self,
        machine: &'a mut Machine,
        action: PowerAction,
        now: DateTime<Utc>,
    ) -> Operation<'a, ()> {
        Box::pin(async move {
            let life = self
                .on_host(&machine.id, move |host| {
                    match action {
                        PowerAction::Off => host.stop()?,
                        PowerAction::On => host.start()?,
                        PowerAction::Reset => {
                            host.stop()?;
                            host.start()?;
                        }
                    }
                    host.life()
                })
                .await?;
            take_over(machine, &life, now);
            Ok(())
        })
    }

    fn take_snapshot<'a>(&'a self, machine: &'a Machine) -> Operation<'a, Image> {
        Box::pin(async move {
            let kept = Kept { host: machine.id.clone(), tag: Uuid::now_v7().to_string() };
            let tag = kept.tag.clone();
            let size = self.on_host(&machine.id, move |host| host.snapshot(&tag)).await?;
            Ok(Image {
                content: serde_json::to_value(kept)?,
                size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
            })
        })
    }

    fn revert_snapshot<'a>(
        &'a self,
        machine: &'a mut Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> Operation<'a, ()> {
        Box::pin(async move {
            let kept: Kept = serde_json::from_value(image.content)?;
            let life = self.on_host(&machine.id, move |host| host.revert(&kept.tag)).await?;
            take_over(machine, &life, now);
            Ok(())
        })
    }

    fn delete_snapshot(&self, image: Image) -> Operation<'_, ()> {
        Box::pin(async move {
            let kept: Kept = serde_json::from_value(image.content)?;
            self.on_host(&kept.host, move |host| host.delete_snapshot(&kept.tag)).await
        })
    }

    fn observe<'a>(&'a self, machine: &'a mut Machine, now: DateTime<Utc>) -> Operation<'a, bool> {
        Box::pin(async move {
            let faults: Vec<Uuid> = machine.faults.iter().map(|fault| fault.id).collect();
            let (life, strikes) = self
                .on_host(&machine.id, move |host| {
                    let strikes: Vec<_> = faults.into_iter().map(|fault| host.strikes(fault)).collect();
                    Ok((host.life()?, strikes))
                })
                .await?;
            let mut changed = take_over(machine, &life, now);
            for (fault, (count, left)) in
                machine.faults.iter_mut().zip(strikes).filter_map(|(fault, seen)| Some((fault, seen?)))
            {
                changed |= fault.strikes != count;
                (fault.draws, fault.strikes, fault.times_left) = (count.into(), count, left);
            }
            Ok(changed)
        })
    }

    fn arm<'a>(&'a self, machine: &'a Machine, fault: &'a FaultState) -> Operation<'a, ()> {
        let fault = fault.clone();
        Box::pin(self.on_host(&machine.id, move |host| host.arm(&fault)))
    }

    fn disarm<'a>(&'a self, machine: &'a Machine, fault: &'a FaultState) -> Operation<'a, ()> {
        let (fault, mut others) = (fault.clone(), machine.faults.clone());
        others.retain(|other| other.id != fault.id);
        Box::pin(self.on_host(&machine.id, move |host| host.disarm(&fault, &others)))
    }

    fn list_machines(&self) -> Operation<'_, BTreeSet<CiId>> {
        Box::pin(async move {
            let fleet = self.fleet()?;
            Ok(tokio::task::spawn_blocking(move || fleet.hosts()).await.map_err(ApiError::internal)??)
        })
    }

    fn discard<'a>(&'a self, id: &'a CiId) -> Operation<'a, ()> {
        Box::pin(self.on_host(id, |host| host.delete()))
    }
}

/// What a real host cannot be made from.
fn check(request: &CreateVm, fleet: &Fleet) -> ApiResult<()> {
    let systems: Vec<_> = host::SYSTEMS.iter().map(|(os, _)| format!("`{os}`")).collect();
    if !host::SYSTEMS.iter().any(|(os, _)| *os == request.os) {
        let known = systems.join(" and ");
        return Err(ApiError::invalid(
            "/os",
            format!("must be one the driver `linux` has images of: {known}"),
        ));
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
    for (index, service) in request.guest.services.iter().enumerate() {
        if host::find_unit(fleet.images(), &request.os, &service.name).is_none() {
            return Err(ApiError::invalid(
                format!("/guest/services/{index}/name"),
                format!("names no service of the image of `{}`", request.os),
            ));
        }
    }
    Ok(())
}

/// Makes the machine what its host was found to be; whether anything differs is returned.
fn take_over(machine: &mut Machine, life: &Life, now: DateTime<Utc>) -> bool {
    match life {
        Life::Up(boot_id) => machine.find(Condition::Up, Some(*boot_id), now),
        Life::Off => machine.find(Condition::Off, None, now),
        Life::Dead | Life::Gone => machine.find(Condition::Failed, None, now),
    }
}
