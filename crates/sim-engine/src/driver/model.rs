//! Driver `model`: the machine is its rows, so every operation is a computation.

use std::future::ready;

use api_types::sim::{CreateVm, PowerAction};
use chrono::{DateTime, Utc};
use service_kit::ApiResult;

use super::{Driver, Image, Operation};
use crate::machine::{GuestState, Machine};

pub struct ModelDriver;

impl Driver for ModelDriver {
    fn create<'a>(&'a self, request: &'a CreateVm, now: DateTime<Utc>) -> Operation<'a, Machine> {
        done(Ok(Machine::new(request, now)))
    }

    fn delete<'a>(&'a self, _: &'a Machine) -> Operation<'a, ()> {
        done(Ok(()))
    }

    fn set_power<'a>(
        &'a self,
        machine: &'a mut Machine,
        action: PowerAction,
        now: DateTime<Utc>,
    ) -> Operation<'a, ()> {
        machine.set_power(action, now);
        done(Ok(()))
    }

    fn take_snapshot<'a>(&'a self, machine: &'a Machine) -> Operation<'a, Image> {
        done(image_of(&machine.guest))
    }

    fn revert_snapshot<'a>(
        &'a self,
        machine: &'a mut Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> Operation<'a, ()> {
        done(
            serde_json::from_value(image.content).map(|guest| machine.revert(guest, now)).map_err(Into::into),
        )
    }

    fn delete_snapshot(&self, _: Image) -> Operation<'_, ()> {
        done(Ok(()))
    }

    /// The clone is a value that is dropped; a model comes back at once, and a real machine of its kind boots.
    fn rehearse_revert<'a>(
        &'a self,
        machine: &'a Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> Option<Operation<'a, f64>> {
        let revert = async move {
            let mut clone = machine.clone();
            self.revert_snapshot(&mut clone, image, now).await?;
            Ok(clone.guest.reboot_seconds)
        };
        Some(Box::pin(revert))
    }
}

/// The inside of the guest is all there is to keep; its size is that of its text.
fn image_of(guest: &GuestState) -> ApiResult<Image> {
    let content = serde_json::to_value(guest)?;
    let size_bytes = i64::try_from(content.to_string().len()).unwrap_or(i64::MAX);
    Ok(Image { content, size_bytes })
}

fn done<'a, T: Send + 'a>(outcome: ApiResult<T>) -> Operation<'a, T> {
    Box::pin(ready(outcome))
}
