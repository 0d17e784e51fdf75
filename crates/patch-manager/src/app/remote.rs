//! Refusals and absences of other services, as this service's own answers.

use api_client::ClientError;
use service_kit::{ApiError, problem_types};

/// A service that is away makes this one unavailable; a refusal is a conflict that says who refused what.
pub(crate) fn failed(error: ClientError) -> ApiError {
    let text = error.to_string();
    match error.is_transient() {
        true => ApiError::new(problem_types::DEPENDENCY_UNAVAILABLE, text).with_source(error),
        false => ApiError::new(problem_types::DEPENDENCY_REFUSED, text).with_source(error),
    }
}
