//! Asks services whether they are ready.

use std::time::Duration;

use api_types::problem::Problem;

/// Timeout for one service.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Asks `/readyz`; the error is the reason why the service is not ready.
pub async fn ask_readiness(client: &reqwest::Client, base: &str) -> Result<(), String> {
    let answer = client.get(format!("{base}/readyz")).timeout(TIMEOUT).send().await;
    let answer = answer.map_err(|error| {
        if error.is_timeout() {
            format!("no answer within {} s", TIMEOUT.as_secs())
        } else {
            "nothing listens there".to_owned()
        }
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let problem = answer.json::<Problem>().await;
    Err(problem.map_or_else(|_| format!("it answered {status}"), |problem| problem.detail))
}
