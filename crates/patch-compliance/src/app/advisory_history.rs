//! How many hosts missed an advisory or a CVE, day by day.

use api_types::patch::AdvisoryHistory;
use chrono::{Days, NaiveDate};
use domain::ids::AdvisoryId;
use service_kit::ApiResult;

use super::advisories;
use crate::{App, store};

/// The last `days` days, the current one included.
pub(crate) async fn get_advisory_history(
    app: &App,
    id: &AdvisoryId,
    days: u32,
) -> ApiResult<AdvisoryHistory> {
    let mut conn = app.pool.acquire().await?;
    let numbers = advisories::list_numbers(&mut conn, id).await?;
    let today = app.clock.now().date_naive();
    let first = today.checked_sub_days(Days::new(u64::from(days - 1))).unwrap_or(NaiveDate::MIN);
    let days = store::advisory_history::list_days(&mut conn, &numbers, first, today).await?;
    Ok(AdvisoryHistory { id: id.to_string(), days })
}
