//! Drivers: one trait, one implementation per hypervisor.

mod linux;
mod model;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use api_types::sim::{self, CreateVm, PowerAction};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::Value;
use service_kit::{ApiError, ApiResult, problem_types};

use crate::machine::{FaultState, Machine};
use linux::LinuxDriver;
use model::ModelDriver;

/// What a revert to a snapshot needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub content: Value,
    pub size_bytes: i64,
}

/// A hypervisor. An operation may be slow, and may be repeated after a crash: the row of the machine is locked while it
/// runs, and the machine is stored after it.
#[async_trait]
pub trait Driver: Send + Sync {
    async fn create(&self, request: &CreateVm, now: DateTime<Utc>) -> ApiResult<Machine>;

    /// Removes the machine and its snapshots.
    async fn delete(&self, machine: &Machine) -> ApiResult<()>;

    async fn set_power(
        &self,
        machine: &mut Machine,
        action: PowerAction,
        now: DateTime<Utc>,
    ) -> ApiResult<()>;

    async fn take_snapshot(&self, machine: &Machine) -> ApiResult<Image>;

    /// Reverts the machine to a snapshot, whatever its condition. Afterwards it runs, under a new boot id.
    async fn revert_snapshot(&self, machine: &mut Machine, image: Image, now: DateTime<Utc>)
    -> ApiResult<()>;

    async fn delete_snapshot(&self, image: Image) -> ApiResult<()>;

    /// Whether guests are reached over SSH and not through the sim-engine.
    fn has_real_guests(&self) -> bool {
        false
    }

    /// Takes over the actual state of the machine. Returns whether anything differs.
    async fn observe(&self, _: &mut Machine, _: DateTime<Utc>) -> ApiResult<bool> {
        Ok(false)
    }

    /// Injects a fault into a real machine.
    async fn arm(&self, _: &Machine, _: &FaultState) -> ApiResult<()> {
        Ok(())
    }

    async fn disarm(&self, _: &Machine, _: &FaultState) -> ApiResult<()> {
        Ok(())
    }

    /// Machines that exist, whether they have a row or not.
    async fn list_machines(&self) -> ApiResult<BTreeSet<CiId>> {
        Ok(BTreeSet::new())
    }

    /// Removes a machine that has no row.
    async fn discard(&self, _: &CiId) -> ApiResult<()> {
        Ok(())
    }

    /// Reverts a clone of the machine to the snapshot and deletes it. Returns the seconds of the revert, or `None` if the
    /// driver cannot clone.
    async fn rehearse_revert(&self, _: &Machine, _: Image, _: DateTime<Utc>) -> ApiResult<Option<f64>> {
        Ok(None)
    }
}

/// The drivers of this installation: `model` always, `linux` if it has a folder.
#[derive(Clone)]
pub struct Drivers {
    linux: Option<Arc<LinuxDriver>>,
}

impl Drivers {
    /// `linux` is the folder of the fleet and that of its images.
    pub fn available(linux: Option<(PathBuf, PathBuf)>) -> Self {
        Self { linux: linux.map(|(folder, images)| Arc::new(LinuxDriver::open(folder, images))) }
    }

    /// The driver for a new machine. `pointer` is the field of the request that names it.
    pub fn choose(&self, driver: sim::Driver, pointer: &str) -> ApiResult<&dyn Driver> {
        let hint = "must be `model`: start this sim-engine with --fleet-dir to enable the driver `linux`";
        self.find(driver).ok_or_else(|| ApiError::invalid(pointer, hint))
    }

    /// The driver of an existing machine.
    pub fn of(&self, machine: &Machine) -> ApiResult<&dyn Driver> {
        self.find(machine.driver).ok_or_else(|| {
            let detail = format!(
                "`{}` needs the driver `linux`, which this sim-engine does not have; use one that does",
                machine.id
            );
            ApiError::new(problem_types::DRIVER_MISSING, detail)
        })
    }

    pub fn find(&self, driver: sim::Driver) -> Option<&dyn Driver> {
        match driver {
            sim::Driver::Model => Some(&ModelDriver),
            sim::Driver::Linux => self.linux.as_deref().map(|driver| driver as &dyn Driver),
        }
    }
}
