//! Templates of standard changes: work that was assessed once and is approved when it is submitted. An administrator writes
//! them, and an approver who did not write them agrees.

use api_types::itsm::{Change, PutTemplate, Template};
use chrono::TimeDelta;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    duties::{self, Decider, Part},
    problem_types,
};
use sqlx::PgConnection;

use super::checks;
use crate::{state::App, store::templates as store};

/// Everybody looks at a template again within this time.
const LONGEST_LIFE: TimeDelta = TimeDelta::days(366);
/// The longest span of a change.
const MAX_SPAN_HOURS: u32 = 100 * 24;

pub async fn list_templates(app: &App) -> ApiResult<Vec<Template>> {
    Ok(store::list_templates(&mut *app.pool.acquire().await?).await?)
}

pub async fn find_template(conn: &mut PgConnection, name: &str) -> ApiResult<Option<Template>> {
    Ok(store::list_templates(conn).await?.into_iter().find(|template| template.name == name))
}

pub async fn put_template(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &PutTemplate,
) -> ApiResult<Template> {
    let now = app.clock.now();
    let mut errors = FieldErrors::default();
    let is_name = (1..=60).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    errors.require(is_name, "name", "must be 1 to 60 of `a-z 0-9 -`");
    errors.require_line("/description", &request.description, checks::NAME);
    errors.require_line("/owner", &request.owner, checks::NAME);
    errors.require(
        (1..=MAX_SPAN_HOURS).contains(&request.max_span_hours),
        "/max_span_hours",
        format!("must be 1 to {MAX_SPAN_HOURS}"),
    );
    errors.require(
        request.expires_at > now && request.expires_at <= now + LONGEST_LIFE,
        "/expires_at",
        format!("must be in the future and at most {} days ahead", LONGEST_LIFE.num_days()),
    );
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let before = store::lock_template(&mut tx, name).await?;
    store::put_template(&mut tx, name, request, &caller.subject, now).await?;
    let template = store::lock_template(&mut tx, name).await?.ok_or_else(|| no_template(name))?;
    let record = audit::Record::new("put_template", object(name)).before(&before).after(&template);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    Ok(template)
}

pub async fn approve_template(app: &App, caller: &Caller, name: &str) -> ApiResult<Template> {
    let mut tx = app.pool.begin().await?;
    let before = store::lock_template(&mut tx, name).await?.ok_or_else(|| no_template(name))?;
    let decider = Decider::of_caller(&mut tx, caller).await?;
    let parts = [Part::new("edited", &before.updated_by)];
    if let Err(refused) = duties::may_decide(&decider, &format!("template `{name}`"), parts) {
        tx.rollback().await?;
        duties::record_refusal(&app.pool, caller, "approve_template", object(name), &refused).await?;
        return Err(refused);
    }
    store::approve_template(&mut tx, name, &caller.subject, app.clock.now()).await?;
    let template = store::lock_template(&mut tx, name).await?.ok_or_else(|| no_template(name))?;
    let record = audit::Record::new("approve_template", object(name)).before(&before).after(&template);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    Ok(template)
}

/// The template that approves this standard change, or why none does.
pub async fn approving_template(app: &App, conn: &mut PgConnection, change: &Change) -> ApiResult<Template> {
    let name = change.template.as_deref().unwrap_or_default();
    let template = find_template(conn, name).await?.ok_or_else(|| {
        ApiError::new(
            problem_types::TEMPLATE_MISSING,
            "this standard change has no template of the catalogue; /itsm/templates lists them",
        )
    })?;
    let does_not_fit = |reason: String| Err(ApiError::new(problem_types::TEMPLATE_DOES_NOT_FIT, reason));
    if !template.is_in_force(app.clock.now()) {
        return does_not_fit(format!(
            "template `{name}` has expired or is not approved; ask its owner `{}`, or open a normal change",
            template.owner
        ));
    }
    if change.plan_hash.is_some() && change.preapproved_by.is_none() {
        return does_not_fit(format!(
            "template `{name}` approves only the plans of policies that somebody else has approved; open a normal change"
        ));
    }
    if change.risk > template.max_risk {
        return does_not_fit(format!(
            "its risk is higher than template `{name}` approves; open a normal change"
        ));
    }
    if change.end_at - change.start_at > TimeDelta::hours(i64::from(template.max_span_hours)) {
        return does_not_fit(format!(
            "its span is longer than the {} hours that template `{name}` approves; open a normal change",
            template.max_span_hours
        ));
    }
    Ok(template)
}

fn no_template(name: &str) -> ApiError {
    ApiError::not_found(format!("template `{name}`"))
}

fn object(name: &str) -> String {
    format!("template/{name}")
}
