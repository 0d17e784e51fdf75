//! The health of a customer, as measured and as the customer reports it.

use api_types::patch::{
    CustomerHealthDetail, CustomerRating, IssueReport, IssueSeverity, RateRelease, ReportIssue,
};
use domain::{ids::CiId, release::Version};
use service_kit::{ApiError, ApiResult, Caller, FieldErrors, audit, problem_types};
use uuid::Uuid;

use super::{health_check, health_watch};
use crate::{
    App,
    store::{
        customers, deployments,
        health_watches::{self, Watch},
        metrics, releases as store,
    },
};

const SAMPLES_SHOWN: i64 = 60;
const REPORTS_SHOWN: i64 = 20;
const MAX_COMMENT_CHARS: usize = 2000;

pub(crate) async fn get_customer_health(app: &App, slug: &CiId) -> ApiResult<CustomerHealthDetail> {
    let mut conn = app.pool.acquire().await?;
    let customer = customers::get_customer(&mut conn, slug).await?.customer;
    let watch = health_watches::find_watch(&mut conn, slug).await?;
    let samples = health_watches::list_samples(&mut conn, slug, SAMPLES_SHOWN).await?;
    let reports = store::list_reports(&mut conn, slug, REPORTS_SHOWN).await?;
    drop(conn);
    let now = health_check::check_health(app, slug, &customer.health).await;
    Ok(CustomerHealthDetail {
        customer: customer.slug,
        name: customer.name,
        tier: customer.tier,
        current_version: customer.current_version,
        now,
        watch: watch.as_ref().map(Watch::shown),
        samples,
        reports,
    })
}

/// Records how satisfied a customer is with a release that was deployed to it.
pub(crate) async fn rate_release(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    version: Version,
    request: RateRelease,
) -> ApiResult<CustomerRating> {
    let mut errors = FieldErrors::default();
    errors.require((1..=5).contains(&request.score), "/score", "must be 1 to 5");
    let is_short = request.comment.chars().count() <= MAX_COMMENT_CHARS;
    errors.require(is_short, "/comment", format!("must be at most {MAX_COMMENT_CHARS} characters"));
    errors.finish()?;
    let mut transaction = app.pool.begin().await?;
    customers::get_customer(&mut transaction, slug).await?;
    store::get_release(&mut transaction, version).await?;
    if deployments::find_latest_forward(&mut transaction, slug, version).await?.is_none() {
        let reason =
            format!("`{slug}` never ran {version}; see `patchctl release deployments --customer {slug}`");
        return Err(ApiError::new(problem_types::NOT_ROLLED_OUT, reason));
    }
    let rating = CustomerRating {
        customer: slug.clone(),
        version,
        score: request.score,
        comment: request.comment,
        rated_by: caller.subject.clone(),
        rated_at: app.clock.now(),
    };
    metrics::upsert_rating(&mut transaction, &rating).await?;
    let record = audit::Record::new("rate_release", format!("customer/{slug}")).after(&rating);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(rating)
}

/// Records a customer's report. After a critical one, the version that is watched there counts as unhealthy.
pub(crate) async fn report_issue(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    request: &ReportIssue,
) -> ApiResult<IssueReport> {
    if !(3..=2000).contains(&request.summary.trim().chars().count()) {
        return Err(ApiError::invalid("/summary", "must have 3 to 2000 characters"));
    }
    let mut transaction = app.pool.begin().await?;
    let customer = customers::get_customer(&mut transaction, slug).await?.customer;
    let report = IssueReport {
        id: Uuid::now_v7(),
        severity: request.severity,
        summary: request.summary.clone(),
        customer_version: Some(customer.current_version),
        reported_by: caller.subject.clone(),
        reported_at: app.clock.now(),
    };
    store::insert_report(&mut transaction, slug, &report).await?;
    let record = audit::Record::new("report_issue", format!("customer/{slug}")).after(&report);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    if report.severity == IssueSeverity::Critical {
        health_watch::report_critical(app, slug, &report.summary).await?;
    }
    Ok(report)
}
