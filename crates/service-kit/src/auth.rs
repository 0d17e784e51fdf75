//! Authentication: bearer tokens and sessions, stored as SHA-256, and the roles that a handler requires by its argument types.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use api_types::access::Role;
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Method, StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    clock::Clock,
    connections::Peer,
    error::{ApiError, ApiResult},
    limits::Limits,
    problem::RequestId,
    rate_limit::{RateLimit, limited, network_of},
    refusals::{Attempt, Refusals},
    session,
};

/// A valid token is not looked up again for this long; a revocation takes effect within it.
const CACHE_FOR: Duration = Duration::from_secs(5);
/// Maximum number of cached tokens; the cache is cleared when it is full.
const CACHE_ENTRIES: usize = 10_000;

/// The subject that makes a request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub subject: String,
    pub roles: Vec<Role>,
    pub token_id: Option<Uuid>,
    /// The CI of an agent: it may do nothing for another one.
    pub ci: Option<String>,
    /// The service that received the request.
    pub service: &'static str,
    pub request_id: Option<String>,
    /// The request, for a proposal to repeat it.
    pub asked: Option<Asked>,
    /// The second person, if the request carries out a proposal that was confirmed.
    pub confirmation: Option<Arc<Confirmation>>,
}

/// Method and path of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: Method,
    pub path: String,
}

/// Who confirms which proposal.
#[derive(Debug, Clone)]
pub struct Confirmation {
    pub proposal: Uuid,
    pub by: Caller,
}

impl Caller {
    /// A service that acts by itself: its scheduler, its engine.
    pub fn internal(service: &'static str, subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            roles: vec![Role::Service],
            token_id: None,
            ci: None,
            service,
            request_id: None,
            asked: None,
            confirmation: None,
        }
    }

    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether the subject may neither change nor decide anything.
    pub fn only_reads(&self) -> bool {
        self.roles.iter().all(|role| matches!(role, Role::Viewer | Role::Auditor))
    }

    /// What a handler relies on when it names a role in its signature. Who may call which operation is in [`api_types::rights`].
    fn may_act_as(&self, wanted: Role) -> bool {
        self.roles.iter().any(|held| match wanted {
            Role::Viewer => *held != Role::Agent,
            Role::Operator => matches!(held, Role::Operator | Role::Admin | Role::Service),
            Role::Auditor => matches!(held, Role::Auditor | Role::Admin),
            Role::Agent => {
                matches!(held, Role::Agent | Role::Operator | Role::Admin | Role::Service)
            }
            other => *held == other,
        })
    }
}

/// Makes an extractor that accepts only callers with a role, so that the handler's signature says who may call it.
macro_rules! role_extractor {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name(pub Caller);

        impl std::ops::Deref for $name {
            type Target = Caller;

            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
                let caller = parts.extensions.get::<Caller>().ok_or_else(|| ApiError::unauthenticated(MISSING))?;
                if !caller.may_act_as(Role::$name) {
                    return Err(ApiError::forbidden(format!(
                        "this needs the role `{}`; the token of `{}` does not have it",
                        stringify!($name).to_lowercase(),
                        caller.subject
                    )));
                }
                Ok(Self(caller.clone()))
            }
        }
    };
}

role_extractor!(
    /// May read.
    Viewer
);
role_extractor!(
    /// May plan, run, change.
    Operator
);
role_extractor!(
    /// May approve and reject.
    Approver
);
role_extractor!(
    /// May issue and revoke tokens.
    Admin
);
role_extractor!(
    /// May read the audit log.
    Auditor
);
role_extractor!(
    /// May do what the agent of a host does. [`Caller::ci`] says for which host.
    Agent
);

const FAILURES: &str = "too many sign-ins from this address have failed";

pub(crate) const MISSING: &str =
    "send a token as `Authorization: Bearer pm_...`; `patchctl token create` issues one";

/// Callers by the hash of their token, with the time of the look-up.
type Seen = HashMap<[u8; 32], (Instant, Caller)>;

/// What the authentication layer needs.
#[derive(Clone)]
pub(crate) struct Authenticator {
    pool: PgPool,
    /// For tokens of services, which do not wait behind those of clients.
    work_pool: PgPool,
    clock: Clock,
    service: &'static str,
    public_paths: &'static [&'static str],
    seen: Arc<Mutex<Seen>>,
    failures: Arc<RateLimit<IpAddr>>,
    writes: Arc<WriteLimits>,
    refusals: Refusals,
}

/// Writes of a token, and of an address: many tokens may be behind one.
struct WriteLimits {
    of_token: RateLimit<Uuid>,
    of_address: RateLimit<IpAddr>,
}

/// Times that an address may write as often as one token.
const TOKENS_BEHIND_AN_ADDRESS: u32 = 4;

impl Authenticator {
    pub(crate) fn new(
        pool: PgPool,
        work_pool: PgPool,
        clock: Clock,
        service: &'static str,
        public_paths: &'static [&'static str],
        limits: &Limits,
    ) -> Self {
        let writes = WriteLimits {
            of_token: RateLimit::per_second(limits.max_writes_per_second),
            of_address: RateLimit::per_second(limits.max_writes_per_second * TOKENS_BEHIND_AN_ADDRESS),
        };
        let failures = Arc::new(RateLimit::per_second(limits.max_failed_sign_ins_per_second));
        let (seen, writes) = (Arc::default(), Arc::new(writes));
        let refusals = Refusals::new(pool.clone(), service);
        Self { pool, work_pool, clock, service, public_paths, seen, failures, writes, refusals }
    }

    fn is_public(&self, path: &str) -> bool {
        matches!(path, "/healthz" | "/readyz" | "/metrics" | "/openapi.json" | "/docs" | "/access/oidc")
            || is_sign_in(path)
            || path.starts_with("/docs/")
            || self.public_paths.iter().any(|public| match public.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == *public,
            })
    }

    /// The caller of a request. A failure counts against the address.
    async fn sign_in(&self, headers: &HeaderMap, address: Option<IpAddr>) -> ApiResult<Caller> {
        let signed_in = self.authenticate(headers, address).await;
        if let (Err(error), Some(address)) = (&signed_in, address)
            && error.status() == StatusCode::UNAUTHORIZED
        {
            limited(self.failures.take(address, Instant::now()), FAILURES)?;
        }
        signed_in
    }

    /// Runs a sign-in at the identity provider; one that fails counts against the address as a wrong token does.
    async fn limit_sign_in(&self, address: Option<IpAddr>, request: Request, next: Next) -> Response {
        let Some(address) = address else { return next.run(request).await };
        if let Err(error) = limited(self.failures.peek(&address, Instant::now()), FAILURES) {
            return error.into_response();
        }
        let response = next.run(request).await;
        if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // The limit holds from the next attempt on.
            let _ = self.failures.take(address, Instant::now());
        }
        response
    }

    /// Counts a request that may change something. Services are not limited: runs wait for them.
    fn count_write(&self, caller: &Caller, request: &Request) -> ApiResult<()> {
        if request.method().is_safe() || caller.is(Role::Service) {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(token) = caller.token_id {
            limited(self.writes.of_token.take(token, now), "this token changes too much at once")?;
        }
        if let Some(address) = address_of(request) {
            limited(self.writes.of_address.take(address, now), "this address changes too much at once")?;
        }
        Ok(())
    }

    async fn authenticate(&self, headers: &HeaderMap, address: Option<IpAddr>) -> ApiResult<Caller> {
        let token = session::secret_of(headers).ok_or_else(|| ApiError::unauthenticated(MISSING))?;
        let hash = hash(token);
        if let Some(caller) = self.remembered(&hash) {
            return Ok(caller);
        }
        if let Some(address) = address.filter(|_| !self.was_seen(&hash)) {
            // Without a look-up, which would load the database; tokens that were valid before still pass.
            limited(self.failures.peek(&address, Instant::now()), FAILURES)?;
        }
        let row = sqlx::query!(
            "SELECT id, subject, roles, ci_id, expires_at, revoked_at FROM platform.tokens WHERE hash = $1",
            hash.as_slice()
        )
        .fetch_optional(if self.was_of_service(&hash) { &self.work_pool } else { &self.pool })
        .await?
        .ok_or_else(|| ApiError::unauthenticated("this token is not known"))?;
        if row.revoked_at.is_some() {
            return Err(ApiError::unauthenticated("this token was revoked"));
        }
        if row.expires_at <= self.clock.now() {
            return Err(ApiError::unauthenticated(
                "this token has expired; `patchctl token create` issues a new one",
            ));
        }
        let caller = Caller {
            subject: row.subject,
            roles: roles_of(&row.roles),
            token_id: Some(row.id),
            ci: row.ci_id,
            service: self.service,
            request_id: None,
            asked: None,
            confirmation: None,
        };
        self.remember(hash, &caller);
        Ok(caller)
    }

    fn remembered(&self, hash: &[u8; 32]) -> Option<Caller> {
        let seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.get(hash).filter(|(at, _)| at.elapsed() < CACHE_FOR).map(|(_, caller)| caller.clone())
    }

    fn was_seen(&self, hash: &[u8; 32]) -> bool {
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).contains_key(hash)
    }

    /// Whether the last look-up, however long ago, found a token of a service.
    fn was_of_service(&self, hash: &[u8; 32]) -> bool {
        let seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        seen.get(hash).is_some_and(|(_, caller)| caller.is(Role::Service))
    }

    fn remember(&self, hash: [u8; 32], caller: &Caller) {
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if seen.len() >= CACHE_ENTRIES {
            seen.clear();
        }
        seen.insert(hash, (Instant::now(), caller.clone()));
    }
}

/// Where people sign in at the identity provider, and so have no token yet.
fn is_sign_in(path: &str) -> bool {
    matches!(path, "/access/oidc/login" | "/access/oidc/callback" | "/access/oidc/token")
}

pub(crate) async fn authenticate(
    State(auth): State<Authenticator>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut attempt = Attempt::of(&request);
    if !auth.is_public(request.uri().path()) {
        let signed_in = match session::check_origin(request.method(), request.headers()) {
            Ok(()) => auth.sign_in(request.headers(), address_of(&request)).await,
            Err(refused) => Err(refused),
        };
        let signed_in = signed_in.and_then(|caller| auth.count_write(&caller, &request).map(|()| caller));
        match signed_in {
            Ok(mut caller) => {
                caller.request_id = request.extensions().get::<RequestId>().map(|id| id.0.to_string());
                let path = request.uri().path().to_owned();
                caller.asked = Some(Asked { method: request.method().clone(), path });
                attempt.caller = Some(caller.clone());
                request.extensions_mut().insert(caller);
            }
            Err(error) => {
                let response = error.into_response();
                auth.refusals.note(attempt, &response);
                return response;
            }
        }
    }
    let response = if is_sign_in(request.uri().path()) {
        auth.limit_sign_in(address_of(&request), request, next).await
    } else {
        next.run(request).await
    };
    auth.refusals.note(attempt, &response);
    response
}

/// The network from which a request comes, if it came over one.
fn address_of(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| network_of(peer.0))
}

/// SHA-256 of a token: tokens have 256 random bits, so no salt and no slow hash is needed.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The names of roles as they are stored.
pub(crate) fn role_names(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}

/// Stored roles.
pub(crate) fn roles_of(names: &[String]) -> Vec<Role> {
    names.iter().filter_map(|name| role_of(name)).collect()
}

fn role_of(name: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| role.name() == name)
}
