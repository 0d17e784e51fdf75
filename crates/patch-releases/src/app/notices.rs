//! Notices to the contacts of customers, by ITSM.

use std::collections::BTreeSet;

use api_types::itsm::{Channel, CreateNotification};
use domain::ids::{CiId, RunId};
use patch_compliance::upstream_error;
use service_kit::ApiResult;

use crate::{App, store::releases};

/// Queues the notice to each contact. ITSM delivers it once, so a repetition after a crash is harmless. Returns whether it is
/// the first of its kind for the run and customer.
pub(crate) async fn send(
    app: &App,
    run: RunId,
    kind: &str,
    customer: &CiId,
    contacts: &[String],
    subject: &str,
    body: &str,
) -> ApiResult<bool> {
    for contact in contacts.iter().collect::<BTreeSet<_>>() {
        let request = CreateNotification {
            channel: if contact.contains("://") { Channel::Webhook } else { Channel::Email },
            recipient: contact.clone(),
            subject: subject.chars().take(200).collect(),
            body: body.to_owned(),
            dedupe_key: Some(format!("release:{run}:{kind}:{customer}:{contact}")),
            customer: Some(customer.clone()),
        };
        match app.runs.itsm.create_notification(&request).await {
            Err(error) if error.is_transient() => return Err(upstream_error(error)),
            Err(error) => tracing::warn!(run.id = %run, "`{customer}` cannot be notified: {error}"),
            Ok(_) => {}
        }
    }
    let mut conn = app.pool.acquire().await?;
    releases::insert_notice(&mut conn, run, customer, kind, app.clock.now()).await
}
