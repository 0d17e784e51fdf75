//! Records failed sign-ins and calls without a right, with the address they come from, in the audit log. A flood must not fill
//! the log, so few are recorded of each address and in all, and the next record says how many were left out.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use api_types::problem::Problem;
use axum::{
    extract::{MatchedPath, Request},
    http::StatusCode,
    response::Response,
};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    audit,
    auth::Caller,
    connections::Peer,
    error::{ApiResult, chain},
    problem::RequestId,
    rate_limit::{RateLimit, network_of},
};

/// Records per second of one network and of all together, in the long run; ten seconds' worth may come at once.
const OF_NETWORK: u32 = 1;
const OF_ALL: u32 = 20;

/// The subject of who has not signed in.
const NOBODY: &str = "nobody";

#[derive(Clone)]
pub(crate) struct Refusals {
    pool: PgPool,
    service: &'static str,
    limits: Arc<Limits>,
}

struct Limits {
    of_network: RateLimit<IpAddr>,
    of_all: RateLimit<()>,
    left_out: AtomicU64,
}

/// A request, as far as a record of its refusal needs it.
pub(crate) struct Attempt {
    /// `POST /patch/runs`, with the pattern of the path: ids may be secrets of somebody else.
    operation: String,
    address: Option<IpAddr>,
    request_id: Option<String>,
    pub caller: Option<Caller>,
}

impl Attempt {
    pub fn of(request: &Request) -> Self {
        let path = request.extensions().get::<MatchedPath>().map_or("unknown path", MatchedPath::as_str);
        Self {
            operation: format!("{} {path}", request.method()),
            address: request.extensions().get::<Peer>().map(|peer| peer.0),
            request_id: request.extensions().get::<RequestId>().map(|id| id.0.to_string()),
            caller: None,
        }
    }
}

impl Refusals {
    pub fn new(pool: PgPool, service: &'static str) -> Self {
        let limits = Limits {
            of_network: RateLimit::per_second(OF_NETWORK),
            of_all: RateLimit::per_second(OF_ALL),
            left_out: AtomicU64::new(0),
        };
        Self { pool, service, limits: Arc::new(limits) }
    }

    /// Records the attempt if the answer refuses it. The answer does not wait for the database.
    pub fn note(&self, attempt: Attempt, response: &Response) {
        let status = response.status();
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return;
        }
        let left_out = &self.limits.left_out;
        if !self.limits.admits(attempt.address) {
            left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let detail = response.extensions().get::<Problem>().map(|problem| problem.detail.clone());
        let not_recorded = left_out.swap(0, Ordering::Relaxed);
        let refusals = self.clone();
        tokio::spawn(async move {
            let recorded = refusals.record(attempt, status, detail, not_recorded).await;
            if let Err(error) = recorded {
                refusals.limits.left_out.fetch_add(not_recorded + 1, Ordering::Relaxed);
                tracing::warn!(error.source = chain(&error), "a refused request was not recorded");
            }
        });
    }

    async fn record(
        &self,
        attempt: Attempt,
        status: StatusCode,
        detail: Option<String>,
        not_recorded: u64,
    ) -> ApiResult<()> {
        let nobody = || Caller { roles: Vec::new(), ..Caller::internal(self.service, NOBODY) };
        let caller = Caller { request_id: attempt.request_id, ..attempt.caller.unwrap_or_else(nobody) };
        let action = if status == StatusCode::UNAUTHORIZED { "refuse_sign_in" } else { "refuse_request" };
        let facts = json!({ "address": attempt.address, "refusals_not_recorded": not_recorded });
        let record = audit::Record::new(action, attempt.operation).after(&facts).reason(detail.as_deref());
        audit::record(&mut *self.pool.acquire().await?, &caller, record).await
    }
}

impl Limits {
    fn admits(&self, address: Option<IpAddr>) -> bool {
        let now = Instant::now();
        let of_network = address.map_or(Ok(()), |address| self.of_network.take(network_of(address), now));
        of_network.is_ok() && self.of_all.take((), now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_of_one_address_leaves_room_for_others_and_a_flood_of_many_is_bounded() {
        let limits = Limits {
            of_network: RateLimit::per_second(OF_NETWORK),
            of_all: RateLimit::per_second(OF_ALL),
            left_out: AtomicU64::new(0),
        };
        let of = |last: u8| (0..1000).filter(|_| limits.admits(Some([192, 0, 2, last].into()))).count();
        assert_eq!(of(1), 11);
        assert_eq!(of(2), 11);
        let others: usize = (3..=200).map(of).sum();
        assert!(others <= 201, "{others}");
    }
}
