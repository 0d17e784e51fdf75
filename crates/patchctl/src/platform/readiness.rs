//! Whether services answer, and whether they could do their work.

use std::time::Duration;

use api_types::problem::Problem;

/// One service is asked for this long at most.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Asks `/readyz`; the error says what is missing.
pub async fn ask_readiness(client: &reqwest::Client, base: &str) -> Result<(), String> {
    let answer = client.get(format!("{base}/readyz")).timeout(TIMEOUT).send().await;
    let answer = answer.map_err(|error| match error.is_timeout() {
        true => format!("no answer within {} s", TIMEOUT.as_secs()),
        false => "nobody listens there".to_owned(),
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let problem = answer.json::<Problem>().await;
    Err(problem.map_or_else(|_| format!("it answers {status}"), |problem| problem.detail))
}
