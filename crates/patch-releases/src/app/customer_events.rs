//! What happens to a customer besides its deployments: typed events of the run, each with a line in the run's log.

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    release::Happening,
};
use patch_runs::app::{
    records::{self, SubjectEvent},
    transition::Evidence,
};
use service_kit::ApiResult;
use sqlx::PgConnection;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CustomerEvent {
    LeftOut,
    /// The health watch found it unhealthy.
    Unhealthy,
    RollingBack,
}

impl CustomerEvent {
    pub(crate) const ALL: [Self; 3] = [Self::LeftOut, Self::Unhealthy, Self::RollingBack];

    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::LeftOut => "patch.customer.left_out.v1",
            Self::Unhealthy => "patch.customer.unhealthy.v1",
            Self::RollingBack => "patch.customer.rolling_back.v1",
        }
    }

    pub(crate) fn happening(self) -> Happening {
        match self {
            Self::LeftOut => Happening::LeftOut,
            Self::Unhealthy | Self::RollingBack => Happening::Unhealthy,
        }
    }

    pub(crate) fn text(self, reason: &str) -> String {
        let what = match self {
            Self::LeftOut => "left out",
            Self::Unhealthy => "unhealthy",
            Self::RollingBack => "rolling back",
        };
        format!("{what}: {reason}")
    }

    pub(crate) fn add_to(self, evidence: &mut Evidence, customer: &CiId, reason: &str) {
        evidence.log.push((Some(customer.clone()), self.text(reason)));
        evidence.subject_events.push(self.event(customer, reason));
    }

    /// Records it outside a transition: the run may have ended.
    pub(crate) async fn record(
        self,
        conn: &mut PgConnection,
        run: RunId,
        customer: &CiId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> ApiResult<()> {
        let line = (Some(customer.clone()), self.text(reason));
        records::insert_log(&mut *conn, run, &[line], now).await?;
        records::insert_subject_event(conn, run, &self.event(customer, reason), now).await
    }

    fn event(self, customer: &CiId, reason: &str) -> SubjectEvent {
        SubjectEvent { event_type: self.event_type(), subject: customer.clone(), reason: reason.to_owned() }
    }
}
