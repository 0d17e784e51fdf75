//! A push of many inventories: lines are collected and recorded in batches.

use api_types::patch::{Inventory, InventoryReport};
use chrono::{DateTime, Utc};
use service_kit::{ApiError, ApiResult, Caller, extract::parse_json};

use super::{
    inventory,
    inventory_fingerprint::{InventoryFingerprint, touch_unchanged},
    observation::{self, Observation},
};
use crate::App;

/// Largest inventory, uncompressed.
pub(crate) const RECORD_BYTES: usize = 8 << 20;
/// Maximum inventories, and their bytes, per transaction: the first limit that is reached ends the batch.
const BATCH: usize = 2000;
const BATCH_BYTES: usize = 32 << 20;

/// A push in progress.
pub(crate) struct InventoryPush<'a> {
    app: &'a App,
    caller: &'a Caller,
    report: InventoryReport,
    /// Lines with their record numbers.
    batch: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl<'a> InventoryPush<'a> {
    pub(crate) fn new(app: &'a App, caller: &'a Caller) -> Self {
        Self { app, caller, report: InventoryReport::default(), batch: Vec::new(), bytes: 0 }
    }

    /// Adds the next line. `is_too_long` if it was longer than [`RECORD_BYTES`] and was dropped.
    pub(crate) async fn push_line(&mut self, line: Vec<u8>, is_too_long: bool) -> ApiResult<()> {
        if line.trim_ascii().is_empty() && !is_too_long {
            return Ok(());
        }
        self.report.read += 1;
        let record = self.report.read;
        if is_too_long || line.len() > RECORD_BYTES {
            inventory::refuse(&mut self.report, record, "the line is longer than 8 MiB".to_owned());
            return Ok(());
        }
        self.bytes += line.len();
        self.batch.push((record, line));
        if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES { self.flush().await } else { Ok(()) }
    }

    pub(crate) async fn finish(mut self) -> ApiResult<InventoryReport> {
        self.flush().await?;
        if self.report.read == 0 {
            return Err(ApiError::malformed("the body is empty; one inventory per line is expected"));
        }
        Ok(self.report)
    }

    async fn flush(&mut self) -> ApiResult<()> {
        let lines = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        let now = self.app.clock.now();
        let fingerprints: Vec<Option<InventoryFingerprint>> =
            lines.iter().map(|(_, line)| InventoryFingerprint::at(line, now)).collect();
        let unchanged = touch_unchanged(self.app, &fingerprints).await?;
        let mut batch = Vec::new();
        for (((record, line), fingerprint), is_unchanged) in lines.iter().zip(fingerprints).zip(unchanged) {
            if is_unchanged {
                self.report.unchanged += 1;
                continue;
            }
            match observe(line, now) {
                Ok(observation) => {
                    batch.push((
                        *record,
                        Observation { text: fingerprint.map(|one| one.text), ..observation },
                    ));
                }
                Err(reason) => inventory::refuse(&mut self.report, *record, reason),
            }
        }
        if !batch.is_empty() {
            inventory::push_inventories(self.app, self.caller, batch, &mut self.report).await?;
        }
        Ok(())
    }
}

fn observe(line: &[u8], now: DateTime<Utc>) -> Result<Observation, String> {
    let pushed = parse_json::<Inventory>(line).map_err(|error| error.to_string())?;
    observation::observe(pushed, now).map_err(|(pointer, reason)| format!("`{pointer}` {reason}"))
}
