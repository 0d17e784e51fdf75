//! What a run does to its subjects: hosts here, customers in the capability above.

use std::collections::BTreeSet;

use domain::{ids::CiId, plan::Plan, run::Answer};
use futures::future::BoxFuture;
use service_kit::ApiResult;

use super::Task;
use crate::app::transition::Evidence;

/// An action under way.
pub type Work<'a> = BoxFuture<'a, ApiResult<(Answer, Evidence)>>;

/// Lines for the run's log, each of a subject or of the whole run.
pub type LogLines = Vec<(Option<CiId>, String)>;

/// How the change request describes the plan.
pub struct ChangeText {
    pub short_description: String,
    pub description: String,
    pub backout_plan: String,
}

/// The part of a run that depends on what its subjects are. The rest (change, validation, waits, deadlines) is the same for
/// all of them. Each action can be performed again after a crash and does the work once.
pub trait SubjectWork: Send + Sync {
    /// PLAN.
    fn plan<'a>(&'a self, task: &'a Task<'a>) -> Work<'a>;

    /// The actions on subjects: admit, snapshot, test, patch, roll back, recover, verify, run checks.
    fn perform<'a>(&'a self, task: &'a Task<'a>) -> Work<'a>;

    /// What the change says about the plan; `what` names its occasion.
    fn change_text(&self, task: &Task<'_>, plan: &Plan, what: &str) -> ApiResult<ChangeText>;

    /// `12 hosts`, `20 customers`.
    fn count_text(&self, count: usize) -> String;

    /// What a success is called in the notes that close the change: `hosts patched`.
    fn done_text(&self) -> &'static str;

    /// The subjects that the run locks before its work begins, all at once.
    fn locked_together(&self, plan: &Plan) -> BTreeSet<CiId>;

    /// REPORT: brings the records of the subjects up to date. Returns how the prediction compares with what happened.
    fn report<'a>(&'a self, task: &'a Task<'a>) -> BoxFuture<'a, ApiResult<Option<simulator::Actual>>>;

    /// ALERT: what is left to do once the run is over. Returns lines for the log.
    fn alert<'a>(&'a self, task: &'a Task<'a>) -> BoxFuture<'a, ApiResult<LogLines>>;
}
