//! Driver `model`: a machine is its rows, so every operation is a computation.

use api_types::sim::{CreateVm, PowerAction};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use service_kit::ApiResult;

use super::{Driver, Image};
use crate::machine::Machine;

pub struct ModelDriver;

#[async_trait]
impl Driver for ModelDriver {
    async fn create(&self, request: &CreateVm, now: DateTime<Utc>) -> ApiResult<Machine> {
        Ok(Machine::new(request, now))
    }

    async fn delete(&self, _: &Machine) -> ApiResult<()> {
        Ok(())
    }

    async fn set_power(
        &self,
        machine: &mut Machine,
        action: PowerAction,
        now: DateTime<Utc>,
    ) -> ApiResult<()> {
        machine.set_power(action, now);
        Ok(())
    }

    /// The image is the guest. Its size is the length of its JSON text.
    async fn take_snapshot(&self, machine: &Machine) -> ApiResult<Image> {
        let content = serde_json::to_value(&machine.guest)?;
        let size_bytes = i64::try_from(content.to_string().len()).unwrap_or(i64::MAX);
        Ok(Image { content, size_bytes })
    }

    async fn revert_snapshot(
        &self,
        machine: &mut Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> ApiResult<()> {
        machine.revert(serde_json::from_value(image.content)?, now);
        Ok(())
    }

    async fn delete_snapshot(&self, _: Image) -> ApiResult<()> {
        Ok(())
    }

    /// A model reverts at once; the result is the time that a real machine of its kind would boot.
    async fn rehearse_revert(
        &self,
        machine: &Machine,
        image: Image,
        now: DateTime<Utc>,
    ) -> ApiResult<Option<f64>> {
        let mut clone = machine.clone();
        self.revert_snapshot(&mut clone, image, now).await?;
        Ok(Some(clone.guest.reboot_seconds))
    }
}
