//! What makes machines exist: one trait, one implementation per hypervisor.

mod linux;
mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    path::PathBuf,
    sync::Arc,
};

use api_types::sim::{self, CreateVm, PowerAction};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use futures::future::BoxFuture;
use serde_json::Value;
use service_kit::{ApiError, ApiResult, problem_types};

use crate::machine::{FaultState, Machine};

pub use linux::LinuxDriver;
pub use model::ModelDriver;

/// An operation of a hypervisor. It may take its time and may be repeated after a crash: the machine's row is locked while
/// it runs, and what it made of the machine is stored when it has returned.
pub type Operation<'a, T> = BoxFuture<'a, ApiResult<T>>;

/// What is needed to return a machine to a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub content: Value,
    pub size_bytes: i64,
}

/// A hypervisor.
pub trait Driver: Send + Sync {
    fn create<'a>(&'a self, request: &'a CreateVm, now: DateTime<Utc>) -> Operation<'a, Machine>;

    /// Removes the machine and its snapshots.
    fn delete<'a>(&'a self, machine: &'a Machine) -> Operation<'a, ()>;

    fn set_power<'a>(
        &'a self,
        machine: &'a mut Machine,
        action: PowerAction,
        now: DateTime<Utc>,
    ) -> Operation<'a, ()>;

    fn take_snapshot<'a>(&'a self, machine: &'a Machine) -> Operation<'a, Image>;

    /// Returns the machine to a snapshot, whatever condition it is in; it runs afterwards, under a new boot id.
    fn revert_snapshot<'a>(
        &'a self,
        machine: &'a mut Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> Operation<'a, ()>;

    fn delete_snapshot(&self, image: Image) -> Operation<'_, ()>;

    /// Whether the inside of its machines is entered by itself, over SSH, and not through the sim-engine.
    fn has_real_guests(&self) -> bool {
        false
    }

    /// Makes the machine what it is found to be at this moment; whether anything differs is returned.
    fn observe<'a>(&'a self, _: &'a mut Machine, _: DateTime<Utc>) -> Operation<'a, bool> {
        Box::pin(ready(Ok(false)))
    }

    /// Injects a fault that the machine meets by itself.
    fn arm<'a>(&'a self, _: &'a Machine, _: &'a FaultState) -> Operation<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn disarm<'a>(&'a self, _: &'a Machine, _: &'a FaultState) -> Operation<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    /// Machines that exist beside their rows.
    fn list_machines(&self) -> Operation<'_, BTreeSet<CiId>> {
        Box::pin(ready(Ok(BTreeSet::new())))
    }

    /// Removes what is left of a machine that has no row.
    fn discard<'a>(&'a self, _: &'a CiId) -> Operation<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    /// Makes a clone of the machine, returns it to the snapshot and gives it up again: how many seconds the way back takes.
    /// `None` where machines cannot be cloned.
    fn rehearse_revert<'a>(
        &'a self,
        _machine: &'a Machine,
        _image: Image,
        _now: DateTime<Utc>,
    ) -> Option<Operation<'a, f64>> {
        None
    }
}

/// The drivers of this installation.
#[derive(Clone)]
pub struct Drivers(Arc<BTreeMap<&'static str, Box<dyn Driver>>>);

impl Drivers {
    /// `model`, which works wherever PostgreSQL does, and `linux` where it was given a folder, and one for its images.
    pub fn available(linux: Option<(PathBuf, PathBuf)>) -> Self {
        let mut drivers: BTreeMap<&'static str, Box<dyn Driver>> = BTreeMap::new();
        drivers.insert(name(sim::Driver::Model), Box::new(ModelDriver));
        if let Some((folder, images)) = linux {
            drivers.insert(name(sim::Driver::Linux), Box::new(LinuxDriver::open(folder, images)));
        }
        Self(Arc::new(drivers))
    }

    /// The driver of a machine to be made; `pointer` is where the request names it.
    pub fn choose(&self, driver: sim::Driver, pointer: &str) -> ApiResult<&dyn Driver> {
        self.find(driver).ok_or_else(|| {
            let known: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
            ApiError::invalid(
                pointer,
                format!(
                    "names the driver `{}`, which this sim-engine does not have; it has: {}{}",
                    name(driver),
                    known.join(", "),
                    match driver {
                        sim::Driver::Linux => "; start it with --fleet-dir to give it the driver `linux`",
                        sim::Driver::Model => "",
                    }
                ),
            )
        })
    }

    /// The driver of a machine that exists.
    pub fn of(&self, machine: &Machine) -> ApiResult<&dyn Driver> {
        self.named(machine.driver, machine.id.as_str())
    }

    /// The driver that the machine `id` was made by.
    pub fn named(&self, driver: sim::Driver, id: &str) -> ApiResult<&dyn Driver> {
        self.find(driver).ok_or_else(|| {
            ApiError::new(
                problem_types::DRIVER_MISSING,
                format!(
                    "`{id}` belongs to the driver `{}`, which this sim-engine does not have; ask one that does",
                    name(driver)
                ),
            )
        })
    }

    pub fn find(&self, driver: sim::Driver) -> Option<&dyn Driver> {
        self.0.get(name(driver)).map(AsRef::as_ref)
    }
}

fn name(driver: sim::Driver) -> &'static str {
    match driver {
        sim::Driver::Model => "model",
        sim::Driver::Linux => "linux",
    }
}
