//! The health of a customer, as measured and as the customer reports it.

use api_types::patch::{CustomerHealthDetail, IssueReport, IssueSeverity, ReportIssue};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, Caller, audit};
use uuid::Uuid;

use super::{health_check, health_watch};
use crate::{
    App,
    store::{
        customers,
        deployments::{self, Watch},
        releases as store,
    },
};

const SAMPLES_SHOWN: i64 = 60;
const REPORTS_SHOWN: i64 = 20;

pub(crate) async fn get_customer_health(app: &App, slug: &CiId) -> ApiResult<CustomerHealthDetail> {
    let mut conn = app.pool.acquire().await?;
    let customer = customers::get_customer(&mut conn, slug).await?.customer;
    let watch = deployments::find_watch(&mut conn, slug).await?;
    let samples = deployments::list_samples(&mut conn, slug, SAMPLES_SHOWN).await?;
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
    let report = IssueReport {
        id: Uuid::now_v7(),
        severity: request.severity,
        summary: request.summary.clone(),
        reported_by: caller.subject.clone(),
        reported_at: app.clock.now(),
    };
    let mut transaction = app.pool.begin().await?;
    customers::get_customer(&mut transaction, slug).await?;
    store::insert_report(&mut transaction, slug, &report).await?;
    let record = audit::Record::new("report_issue", format!("customer/{slug}")).after(&report);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    if report.severity == IssueSeverity::Critical {
        health_watch::report_critical(app, slug, &report.summary).await?;
    }
    Ok(report)
}
