//! The e-mail that asks for approval.

use std::fmt::Write;

use api_types::itsm::{Change, Channel, CreateNotification};
use chrono::SecondsFormat;
use domain::change::ChangeState;
use service_kit::ApiResult;
use sqlx::PgConnection;

use crate::{app::App, store::notifications};

/// CIs that are named one by one.
const NAMED_CIS: usize = 20;

/// Puts a request to each of the change's approvers into the outbox, once per version of the change, when the change
/// waits for them.
pub async fn request_approval(app: &App, connection: &mut PgConnection, change: &Change) -> ApiResult<()> {
    if change.state != ChangeState::PendingApproval {
        return Ok(());
    }
    let body = text(&app.public_url, change);
    for address in &change.approver_emails {
        let request = CreateNotification {
            channel: Channel::Email,
            recipient: address.clone(),
            subject: format!("Approval needed: {} {}", change.id, change.short_description),
            body: body.clone(),
            dedupe_key: Some(format!("approval-request/{}/{}/{address}", change.id, change.version)),
        };
        notifications::insert_notification(connection, &request, app.clock.now()).await?;
    }
    Ok(())
}

fn text(public_url: &str, change: &Change) -> String {
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let named: Vec<&str> = change.ci_ids.iter().take(NAMED_CIS).map(|id| id.as_str()).collect();
    let more = match change.ci_ids.len().saturating_sub(NAMED_CIS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let mut text = format!(
        "{requester} asks you to approve change {id}.\n\n\
         {short}\n\n\
         kind       {kind}\n\
         risk       {risk}\n\
         span       {start} to {end}\n\
         plan hash  {hash}\n\
         CIs        {count}: {named}{more}\n",
        requester = change.requested_by,
        id = change.id,
        short = change.short_description,
        kind = word(&change.kind),
        risk = word(&change.risk),
        start = time(change.start_at),
        end = time(change.end_at),
        hash = change.plan_hash.as_deref().unwrap_or("none"),
        count = change.ci_ids.len(),
        named = named.join(", "),
    );
    for (title, prose) in [
        ("Description", &change.description),
        ("Implementation", &change.implementation_plan),
        ("Backout", &change.backout_plan),
        ("Tests", &change.test_plan),
    ] {
        if !prose.trim().is_empty() {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n{title}\n{prose}\n");
        }
    }
    let _ = write!(
        text,
        "\nRead it and decide:\n  {public_url}/approve/{id}\nor on the command line:\n  patchctl change approve {id}\n  \
         patchctl change reject {id}\n\nAny edit of the change voids your approval, and you will be asked again.\n",
        id = change.id
    );
    text
}

/// A variant as it reads: `very high`.
fn word(variant: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(variant).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().replace('_', " ")
}
