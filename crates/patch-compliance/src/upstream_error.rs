//! Errors of other services, as errors of this service.

use api_client::ClientError;
use service_kit::{ApiError, problem_types};

/// An unavailable service makes this one unavailable; a refusal becomes a conflict that states which service refused
/// what.
pub fn upstream_error(error: ClientError) -> ApiError {
    let text = error.to_string();
    if error.is_transient() {
        ApiError::new(problem_types::DEPENDENCY_UNAVAILABLE, text).with_source(error)
    } else {
        ApiError::new(problem_types::DEPENDENCY_REFUSED, text).with_source(error)
    }
}
