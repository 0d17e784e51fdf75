//! Whether each service answers, and what its clock says.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;

use super::Finding;
use crate::platform::{Addresses, ask_readiness};

const TIMEOUT: Duration = Duration::from_secs(4);
/// A `Date` header has no fractions of a second, and the answer takes its time.
const EXACTNESS: TimeDelta = TimeDelta::seconds(3);

pub async fn examine(addresses: &Addresses) -> Vec<Finding> {
    let client = match api_client::builder().build() {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::failed(
                "services",
                format!("the HTTP client cannot start: {error}"),
                "check SSL_CERT_FILE",
            )];
        }
    };
    let each = addresses.each();
    let asked = each.iter().map(|(service, base)| of_service(&client, service, base));
    join_all(asked).await.concat()
}

async fn of_service(client: &reqwest::Client, service: &str, base: &str) -> Vec<Finding> {
    let check = format!("service {service}");
    match ask_readiness(client, base).await {
        Ok(()) => vec![Finding::ok(&check, format!("ready at {base}")), clock(client, service, base).await],
        Err(reason) => vec![
            Finding::failed(
                &check,
                format!("{base}: {reason}"),
                "start it with `patchctl up`, or look into its log; --server and --port-base select another platform",
            ),
            Finding::unknown(&format!("clock {service}"), "the service is not ready", "see the service"),
        ],
    }
}

async fn clock(client: &reqwest::Client, service: &str, base: &str) -> Finding {
    let check = format!("clock {service}");
    let asked = client.get(format!("{base}/readyz")).timeout(TIMEOUT).send().await;
    let date = asked.ok().and_then(|answer| {
        let date = answer.headers().get("date")?.to_str().ok()?;
        DateTime::parse_from_rfc2822(date).ok().map(|date| date.to_utc())
    });
    match date {
        Some(date) => compare(&check, date, Utc::now(), "this machine"),
        None => {
            Finding::unknown(&check, "the answer has no date", "a proxy may have removed the header `Date`")
        }
    }
}

/// How far two clocks are apart.
pub fn compare(check: &str, one: DateTime<Utc>, other: DateTime<Utc>, of_other: &str) -> Finding {
    let apart = (one - other).abs();
    let seconds = apart.num_seconds();
    let remedy = "synchronise both machines, for example with chrony or systemd-timesyncd";
    if apart <= EXACTNESS {
        Finding::ok(check, format!("as on {of_other}"))
    } else if apart <= service_kit::clock::TOLERANCE {
        Finding::warning(check, format!("{seconds} s apart from {of_other}"), remedy)
    } else {
        let detail =
            format!("{seconds} s apart from {of_other}: signatures and expiry dates are judged wrongly");
        Finding::failed(check, detail, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn clocks_may_be_seconds_apart_and_not_minutes() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let status = |seconds| compare("clock", now + TimeDelta::seconds(seconds), now, "x").status;
        assert_eq!(status(2), Status::Ok);
        assert_eq!(status(-2), Status::Ok);
        assert_eq!(status(-60), Status::Warning);
        assert_eq!(status(301), Status::Failed);
    }

    #[tokio::test]
    async fn service_that_does_not_answer_failed_and_its_clock_is_unknown() {
        let client = reqwest::Client::new();
        let found = of_service(&client, "cmdb", "http://127.0.0.1:1").await;
        assert_eq!(found.iter().map(|one| one.status).collect::<Vec<_>>(), [Status::Failed, Status::Unknown]);
        assert!(found.iter().all(|one| one.remedy.is_some()));
    }
}
