//! What a run does to its subjects: to hosts in this crate, to customers in the crate above.

use std::collections::BTreeSet;

use domain::{ids::CiId, plan::Plan, run::Answer};
use futures::future::BoxFuture;
use service_kit::ApiResult;

use super::Task;
use crate::app::transition::{Evidence, LogLines};

/// An action in progress.
pub type Work<'a> = BoxFuture<'a, ApiResult<(Answer, Evidence)>>;

/// How the change request describes the plan.
pub struct ChangeText {
    pub short_description: String,
    pub description: String,
    pub backout_plan: String,
}

/// The part of a run that depends on its kind of subjects. The rest (change, validation, waits, deadlines) is the same for
/// all. Each action can be performed again after a crash and does the work once.
pub trait SubjectWork: Send + Sync {
    /// PLAN.
    fn plan<'a>(&'a self, task: &'a Task<'a>) -> Work<'a>;

    /// The actions on subjects: admit, snapshot, test, patch, roll back, recover, verify, run checks.
    fn perform<'a>(&'a self, task: &'a Task<'a>) -> Work<'a>;

    /// What the change says about the plan; `what` names the reason for the run.
    fn change_text(&self, task: &Task<'_>, plan: &Plan, what: &str) -> ApiResult<ChangeText>;

    /// `12 hosts`, `20 customers`.
    fn count_text(&self, count: usize) -> String;

    /// Describes successes in the notes that close the change: `hosts patched`.
    fn done_text(&self) -> &'static str;

    /// The subjects that the run locks before its work begins, all at once.
    fn locked_together(&self, plan: &Plan) -> BTreeSet<CiId>;

    /// REPORT: updates the records of the subjects. Returns what happened, to be compared with the prediction.
    fn report<'a>(&'a self, task: &'a Task<'a>) -> BoxFuture<'a, ApiResult<Option<simulator::Actual>>>;

    /// ALERT: what remains to be done after the run. Returns lines for the log.
    fn alert<'a>(&'a self, task: &'a Task<'a>) -> BoxFuture<'a, ApiResult<LogLines>>;
}
