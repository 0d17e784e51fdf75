//! Refusals and absences of other services, as this service's own errors.

use api_client::ClientError;
use service_kit::{ApiError, problem_types};

/// A service that is away makes this one unavailable; a refusal is a conflict that says which service refused what.
pub fn upstream_error(error: ClientError) -> ApiError {
    let text = error.to_string();
    if error.is_transient() {
        ApiError::new(problem_types::DEPENDENCY_UNAVAILABLE, text).with_source(error)
    } else {
        ApiError::new(problem_types::DEPENDENCY_REFUSED, text).with_source(error)
    }
}
