//! Change requests: kinds, states, and the transitions between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::named::named_enum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ChangeKind {
    /// Pre-approved by its template.
    Standard,
    /// Needs an approver who is not its requester.
    Normal,
    /// May start after one emergency approver agrees, and must be reviewed afterwards.
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

named_enum! {
    /// What is done to a change.
    ChangeVerb, "a verb of changes" {
        Submit => "submit",
        Approve => "approve",
        Reject => "reject",
        Execute => "execute",
        Complete => "complete",
        Fail => "fail",
        Cancel => "cancel",
    }
}

/// A verb that the change's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} a change that is {state}")]
pub struct IllegalChange {
    pub verb: ChangeVerb,
    pub state: ChangeState,
}

impl fmt::Display for ChangeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draft => "a draft",
            Self::PendingApproval => "pending approval",
            Self::Approved => "approved",
            Self::InProgress => "in progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        })
    }
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

    /// Whether its content may still be edited: until the work begins.
    pub fn is_editable(self) -> bool {
        matches!(self, Self::Draft | Self::PendingApproval | Self::Approved)
    }

    /// The state after an edit of what approvals are bound to: a submitted change waits for approval again, and a
    /// standard one returns to draft, because its template approves it when it is submitted again.
    pub fn after_edit(self, kind: ChangeKind) -> Self {
        match self {
            Self::Approved if kind == ChangeKind::Standard => Self::Draft,
            Self::Approved => Self::PendingApproval,
            other => other,
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [ChangeKind; 3] = [ChangeKind::Standard, ChangeKind::Normal, ChangeKind::Emergency];

    #[derive(Debug, Clone, Copy)]
    enum Operation {
        Verb(ChangeVerb),
        Edit,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            4 => proptest::sample::select(ChangeVerb::ALL.to_vec()).prop_map(Operation::Verb),
            1 => Just(Operation::Edit),
        ]
    }

    proptest! {
        /// In any order of operations, work begins only on a change that was approved after its last edit.
        #[test]
        fn work_begins_only_on_what_was_approved_as_it_stands(
            kind in proptest::sample::select(KINDS.to_vec()),
            operations in proptest::collection::vec(operation(), 0..40),
        ) {
            let mut state = ChangeState::Draft;
            let mut approved_as_it_stands = false;
            for operation in operations {
                match operation {
                    Operation::Edit if state.is_editable() => {
                        state = state.after_edit(kind);
                        approved_as_it_stands = false;
                    }
                    Operation::Edit => {}
                    Operation::Verb(verb) => {
                        let Ok(next) = state.after(verb, kind) else { continue };
                        prop_assert!(!state.is_final(), "{verb:?} left the final state {state:?}");
                        let by_template = verb == ChangeVerb::Submit && kind == ChangeKind::Standard;
                        approved_as_it_stands |= verb == ChangeVerb::Approve || by_template;
                        if next == ChangeState::InProgress {
                            prop_assert!(approved_as_it_stands);
                        }
                        state = next;
                    }
                }
            }
        }
    }

    #[test]
    fn every_state_that_is_not_final_has_a_way_to_an_end() {
        for kind in KINDS {
            for state in ChangeState::ALL.into_iter().filter(|state| !state.is_final()) {
                let ends = ChangeVerb::ALL.into_iter().filter_map(|verb| state.after(verb, kind).ok());
                assert!(ends.clone().any(ChangeState::is_final), "{state:?} of {kind:?} has no way out");
            }
        }
    }

    #[test]
    fn refusal_reads_as_a_sentence() {
        let refused = ChangeState::Draft.after(ChangeVerb::Approve, ChangeKind::Normal).unwrap_err();
        assert_eq!(refused.to_string(), "cannot approve a change that is a draft");
    }
}
