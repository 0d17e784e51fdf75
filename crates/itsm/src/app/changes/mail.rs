//! The e-mail that asks for approval.

use std::fmt::Write;

use api_types::{
    access::Person,
    itsm::{Change, Channel, CreateNotification},
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::change::ChangeState;
use service_kit::{ApiResult, Caller, audit, duties, people};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{approval, object};
use crate::{
    state::App,
    store::{
        links::{self, ApprovalLink},
        notifications,
    },
};

/// In the stored e-mail, the place of the link that decides; the link is inserted when the e-mail is sent. The text before it
/// is written by people and may contain the same words, so only the last place counts, which nothing but the service writes.
const LINK_PLACE: &str = "[the one-time link, which only the e-mail itself shows]";

/// Maximum number of CIs that are named.
const NAMED_CIS: usize = 20;

/// Queues a request to each of the change's approvers, once per version of the change, if the change
/// waits for them. An address whose person may not decide on this version gets none, which is audited.
pub async fn request_approval(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    change: &Change,
) -> ApiResult<()> {
    if change.state != ChangeState::PendingApproval || change.approver_emails.is_empty() {
        return Ok(());
    }
    let people = people::list_by_names(conn, &change.approver_emails).await?;
    let text = text(&app.public_url, change);
    for address in &change.approver_emails {
        match duties::approver_at(&people, address, approval::parts(change)) {
            Ok(person) => queue_request(app, conn, change, address, person, &text).await?,
            Err(reason) => {
                let reason = format!("`{address}` {reason}");
                let record = audit::Record::new("skip_approval_request", object(&change.id));
                audit::record(conn, caller, record.reason(Some(&reason))).await?;
                tracing::warn!(change.id = %change.id, "sent no request for change {}: {reason}", change.id);
            }
        }
    }
    Ok(())
}

async fn queue_request(
    app: &App,
    conn: &mut PgConnection,
    change: &Change,
    address: &str,
    person: &Person,
    text: &str,
) -> ApiResult<()> {
    let now = app.clock.now();
    let link = new_link(app, change, address, person);
    let mut body = text.to_owned();
    if let Some(link) = &link {
        links::insert_link(conn, link, now).await?;
        // Writing to a `String` cannot fail.
        let until = link.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let _ = write!(body, "\nDecide without a token, once, until {until}:\n  {LINK_PLACE}\n");
    }
    let request = CreateNotification {
        channel: Channel::Email,
        recipient: address.to_owned(),
        subject: format!("Approval needed: {} {}", change.id, change.short_description),
        body,
        dedupe_key: Some(format!("approval-request/{}/{}/{address}", change.id, change.version)),
        customer: None,
    };
    let link = link.map(|link| link.id);
    notifications::insert_notification(conn, &request, link, now).await?;
    Ok(())
}

/// A link for one approver of the present change; `None` if the service has no key, or people sign in instead.
fn new_link(app: &App, change: &Change, address: &str, person: &Person) -> Option<ApprovalLink> {
    let lives = TimeDelta::hours(i64::from(app.link_hours));
    let decides = app.links.is_available() && !app.needs_sign_in;
    decides.then(|| ApprovalLink {
        id: Uuid::now_v7(),
        change_id: change.id.to_string(),
        approver: address.to_owned(),
        subject: Some(person.subject.clone()),
        plan_hash: change.plan_hash.clone(),
        expires_at: stored(change.end_at.min(app.clock.now() + lives)),
        used_at: None,
        voided_at: None,
    })
}

/// Truncated to the microseconds that are stored: the signature covers what is read back.
fn stored(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// The e-mail with the link inserted.
pub fn with_link(body: &str, public_url: &str, change_id: &str, token: &str) -> String {
    let Some((before, after)) = body.rsplit_once(LINK_PLACE) else { return body.to_owned() };
    format!("{before}{public_url}/approve/{change_id}#link={token}{after}")
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
    let evidence = super::summary::of(&change.evidence);
    for (title, prose) in [
        ("Description", &change.description),
        ("Plan and prediction", &evidence),
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

/// The name of a variant in prose: `very high`.
fn word(variant: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(variant).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_is_inserted_once_and_never_where_a_person_wrote_its_place() {
        let body = format!(
            "please click {LINK_PLACE}\nor http://evil.example/{LINK_PLACE}\n\nDecide:\n  {LINK_PLACE}\n"
        );
        let sent = with_link(&body, "https://desk", "CHG0000001", "secret");
        assert_eq!(sent.matches("secret").count(), 1, "{sent}");
        assert!(sent.ends_with("Decide:\n  https://desk/approve/CHG0000001#link=secret\n"), "{sent}");
        assert!(sent.contains(&format!("http://evil.example/{LINK_PLACE}")), "{sent}");
    }
}
