//! What makes machines exist: one trait, one implementation per hypervisor.

mod model;

use std::{collections::BTreeMap, sync::Arc};

use api_types::sim::{self, CreateVm, PowerAction};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde_json::Value;
use service_kit::{ApiError, ApiResult};

use crate::machine::Machine;

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
}

/// The drivers of this installation.
#[derive(Clone)]
pub struct Drivers(Arc<BTreeMap<&'static str, Box<dyn Driver>>>);

impl Drivers {
    /// Those that work wherever PostgreSQL does.
    pub fn available() -> Self {
        let model: Box<dyn Driver> = Box::new(ModelDriver);
        Self(Arc::new(BTreeMap::from([(name(sim::Driver::Model), model)])))
    }

    /// The driver of a machine to be made; `pointer` is where the request names it.
    pub fn choose(&self, driver: sim::Driver, pointer: &str) -> ApiResult<&dyn Driver> {
        self.find(driver).ok_or_else(|| {
            let known: Vec<_> = self.0.keys().map(|name| format!("`{name}`")).collect();
            ApiError::invalid(
                pointer,
                format!(
                    "names the driver `{}`, which this sim-engine does not have; it has: {}",
                    name(driver),
                    known.join(", ")
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
            ApiError::conflict(
                "driver-missing",
                format!(
                    "`{id}` belongs to the driver `{}`, which this sim-engine does not have; ask one that does",
                    name(driver)
                ),
            )
        })
    }

    fn find(&self, driver: sim::Driver) -> Option<&dyn Driver> {
        self.0.get(name(driver)).map(AsRef::as_ref)
    }
}

fn name(driver: sim::Driver) -> &'static str {
    match driver {
        sim::Driver::Model => "model",
        sim::Driver::Linux => "linux",
    }
}
