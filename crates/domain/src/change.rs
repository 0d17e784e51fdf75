//! Change requests: kinds, states, and who may move them from one to the next.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ChangeKind {
    /// Pre-approved by its template.
    Standard,
    /// Needs an approver who is not its requester.
    Normal,
    /// May start on one emergency approver's word, and must be reviewed afterwards.
    Emergency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ChangeState {
    Draft,
    PendingApproval,
    Approved,
    InProgress,
    Completed,
    Failed,
    Rejected,
    Cancelled,
}

/// What is done to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeVerb {
    Submit,
    Approve,
    Reject,
    Execute,
    Complete,
    Fail,
    Cancel,
}

/// A verb that the change's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb:?} a change that is {state:?}")]
pub struct IllegalChange {
    pub verb: ChangeVerb,
    pub state: ChangeState,
}

impl ChangeState {
    pub const ALL: [Self; 8] = [
        Self::Draft,
        Self::PendingApproval,
        Self::Approved,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Rejected,
        Self::Cancelled,
    ];

    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Rejected | Self::Cancelled)
    }

    /// The state after `verb`. A submitted standard change is approved at once, by its template.
    pub fn after(self, verb: ChangeVerb, kind: ChangeKind) -> Result<Self, IllegalChange> {
        use ChangeVerb::*;
        Ok(match (self, verb) {
            (Self::Draft, Submit) if kind == ChangeKind::Standard => Self::Approved,
            (Self::Draft, Submit) => Self::PendingApproval,
            (Self::PendingApproval, Approve) => Self::Approved,
            (Self::PendingApproval | Self::Approved, Reject) => Self::Rejected,
            (Self::Approved, Execute) => Self::InProgress,
            (Self::InProgress, Complete) => Self::Completed,
            (Self::InProgress, Fail) => Self::Failed,
            (Self::Draft | Self::PendingApproval | Self::Approved, Cancel) => Self::Cancelled,
            (state, verb) => return Err(IllegalChange { verb, state }),
        })
    }
}
