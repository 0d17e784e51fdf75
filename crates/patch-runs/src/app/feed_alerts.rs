//! Opens an incident for every fetched feed that is late: its hosts would look as good as on the day of the last fetch.

use std::time::Duration;

use api_types::{
    itsm::{CreateIncident, Severity},
    patch::Feed,
};
use patch_compliance::app::fetched_feeds;
use service_kit::{ApiResult, error::chain};

use super::itsm_records;
use crate::{App, upstream_error};

const POLL_EVERY: Duration = Duration::from_secs(10);

/// Looks for late feeds until the service stops.
pub(crate) async fn watch_feeds(app: App) {
    loop {
        if let Err(error) = open_incidents(&app).await {
            tracing::warn!("cannot open incidents for late feeds now: {}", chain(&error));
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }
}

/// Replicas ask for the same incident, of which there is one for each time of lateness.
async fn open_incidents(app: &App) -> ApiResult<()> {
    for feed in fetched_feeds::list_late(&app.compliance).await? {
        let incident = app.itsm.create_incident(&request(&feed)).await.map_err(upstream_error)?;
        tracing::warn!("the feed `{}` is late: incident {}", feed.id, incident.id);
        fetched_feeds::record_incident(&app.compliance, &feed.id, &incident.id).await?;
    }
    Ok(())
}

fn request(feed: &Feed) -> CreateIncident {
    let since = feed.fetched_at.unwrap_or(feed.created_at);
    let problem = feed.problem.as_deref().unwrap_or("no request has ended yet");
    CreateIncident {
        short_description: itsm_records::line(&format!(
            "The feed {} was not fetched for more than {} h",
            feed.id, feed.late_after_hours
        )),
        description: itsm_records::prose(
            [
                format!("Address: {}. Newest version known at {since}.", feed.url),
                format!("Last request: {problem}."),
                "What its publisher has fixed since is unknown; hosts become `unknown` once the feed is older than their policies allow."
                    .to_owned(),
            ],
            "\n",
        ),
        severity: Severity::High,
        ci_ids: Vec::new(),
        change_id: None,
        correlation_id: Some(format!("feed:{}:{}", feed.id, since.timestamp())),
    }
}
