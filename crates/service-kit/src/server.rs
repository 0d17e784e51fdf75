//! One service: its routes as a table, the layers around them, and how it is started and stopped.

use api_types::{access::Role, problem_types};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use secrecy::SecretString;
use sqlx::{PgPool, migrate::Migrator};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tower_http::{
    catch_panic::CatchPanicLayer,
    timeout::{RequestBodyDeadlineLayer, TimeoutLayer},
};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::{
    access, answer_headers, audit_chain,
    audit_export::{self, AuditExports},
    auth::{self, Caller},
    clock::Clock,
    conditional, connections,
    contract::{self, QueryParameters, refuse_unknown_parameters},
    database,
    error::{ApiError, ApiResult},
    extract::Json,
    limits::Limits,
    oidc::Oidc,
    problem,
    rights::{self, Rights},
    telemetry,
    tls::Transport,
    webhooks::WebhookKey,
};

pub use crate::problem::RequestId;

/// Maximum size of a body, unless a route has another limit.
pub const BODY_LIMIT: usize = 2 * 1024 * 1024;
/// If an answer has not begun by then, it is 503; streams that have begun continue.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A slow body gets the answer that says so, not this one.
const AFTER_BODY: Duration = Duration::from_secs(5);
/// Connections for the look-up of tokens. A flood of unknown tokens delays neither runs nor known callers.
const TOKEN_CONNECTIONS: u32 = 2;
/// At a stop, requests and background tasks get this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// What a service is started with.
#[derive(Clone)]
pub struct Context {
    /// For the service's own work: the engine, background tasks, orders, and requests of other services.
    pub pool: PgPool,
    /// For all other requests.
    pub request_pool: PgPool,
    pub clock: Clock,
    /// For requests to the other services.
    pub service_token: SecretString,
    /// What the listener speaks.
    pub transport: Transport,
    /// For secrets of webhooks.
    pub webhook_key: WebhookKey,
    /// Where the end of the audit chain goes.
    pub audit_exports: AuditExports,
    /// The identity provider at which people sign in.
    pub oidc: Oidc,
    /// What one client may take of the service.
    pub limits: Limits,
    /// Cancelled when the process must stop.
    pub shutdown: CancellationToken,
    /// Background tasks are spawned here, so that a stop waits for them.
    pub tasks: TaskTracker,
}

/// A service of the platform. `patchctl up` runs all four in one process, the thin binaries one each.
#[allow(async_fn_in_trait, reason = "used only with concrete types")]
pub trait Service: 'static {
    const NAME: &'static str;
    const TITLE: &'static str;
    const SCHEMA: &'static str;
    const DEFAULT_PORT: u16;
    /// Paths served without a token; a final `*` matches anything.
    const PUBLIC_PATHS: &'static [&'static str] = &[];

    /// Writes to routes that start with one of these are orders to runs, or decisions that runs wait for. They have the
    /// connections of the service's own work, so that readers cannot delay them.
    const ORDERS: &'static [&'static str] = &[];

    /// Settings in addition to [`crate::config::ServeConfig`].
    type Settings: clap::Args + Clone + std::fmt::Debug + Send + Sync;
    type State: Clone + Send + Sync + 'static;

    fn migrator() -> Migrator;
    /// The contract of the service's own routes.
    fn contract() -> OpenApi;
    /// The service's own routes around its started state.
    fn routes(state: Self::State) -> OpenApiRouter;
    /// The same state with the connections of this pool.
    fn with_pool(state: &Self::State, pool: &PgPool) -> Self::State;
    /// Makes the state, with `context.pool`, and spawns background work on `context.tasks`. The schema is migrated when this is called.
    async fn start(context: &Context, settings: Self::Settings) -> anyhow::Result<Self::State>;
    /// Whether the service simulates a laboratory, in which machines are created, deleted and broken.
    fn is_laboratory(_: &Self::State) -> bool {
        false
    }
    /// Names and base URLs of the services this one needs; `/readyz` checks them.
    fn dependencies(settings: &Self::Settings) -> Vec<(&'static str, String)>;
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The contract of a service, as generated into `openapi/<service>.json`.
pub fn openapi<S: Service>() -> OpenApi {
    contract::complete::<S>(S::contract())
}

/// Builds the router of a service with its started state.
pub fn router<S: Service>(
    context: &Context,
    state: S::State,
    dependencies: Vec<(&'static str, String)>,
) -> Router {
    let is_laboratory = S::is_laboratory(&state);
    let for_requests = S::with_pool(&state, &context.request_pool);
    let (own, own_contract) = S::routes(for_requests).split_for_parts();
    let (work, _) = S::routes(state).split_for_parts();
    let work_routes = WorkRoutes { routes: work, orders: S::ORDERS };
    let access_state = access::AccessState {
        pool: context.request_pool.clone(),
        clock: context.clock.clone(),
        webhook_key: context.webhook_key.clone(),
        exports: context.audit_exports.clone(),
        oidc: context.oidc.clone(),
        service: S::NAME,
        routes: own.clone(),
    };
    let (access, _) = access::routes().with_state(access_state).split_for_parts();
    let mut contract = contract::complete::<S>(own_contract);
    let rights = Rights::of(S::NAME, &mut contract, is_laboratory);
    let parameters = Arc::new(QueryParameters::of(&contract));
    let answer_timeout = ANSWER_TIMEOUT.max(context.limits.body_timeout() + AFTER_BODY);
    let tokens = database::separate(&context.pool, TOKEN_CONNECTIONS);
    let authenticator = auth::Authenticator::new(
        tokens,
        context.pool.clone(),
        context.clock.clone(),
        S::NAME,
        S::PUBLIC_PATHS,
        &context.limits,
    );
    let readiness = Readiness {
        pool: context.request_pool.clone(),
        dependencies: Arc::new(dependencies),
        client: reqwest::Client::new(),
    };
    own.route_layer(middleware::from_fn_with_state(work_routes, separate_work))
        .merge(access)
        .route_layer(middleware::from_fn_with_state(parameters, refuse_unknown_parameters))
        .route_layer(middleware::from_fn_with_state(rights, rights::enforce))
        .merge(Router::new().route("/readyz", get(readyz)).with_state(readiness))
        .route("/healthz", get(async || "ok"))
        .route(
            "/metrics",
            get(async || telemetry::metrics().map(|handle| handle.render()).unwrap_or_default()),
        )
        .merge(utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", contract))
        .layer(middleware::from_fn_with_state(authenticator, auth::authenticate))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(RequestBodyDeadlineLayer::new(context.limits.body_timeout()))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, answer_timeout))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            ApiError::internal("a handler panicked").into_response()
        }))
        .layer(middleware::from_fn(problem::render_problems))
        .layer(middleware::from_fn(conditional::answer_conditionally))
        .layer(conditional::compression())
        .layer(middleware::from_fn(answer_headers::add_headers))
        .layer(middleware::from_fn(async move |request: Request, next: Next| {
            observe(S::NAME, request, next).await
        }))
}

/// The routes of a service with the connections of its own work.
#[derive(Clone)]
struct WorkRoutes {
    routes: Router,
    orders: &'static [&'static str],
}

impl WorkRoutes {
    fn serves(&self, request: &Request) -> bool {
        let is_of_service =
            request.extensions().get::<Caller>().is_some_and(|caller| caller.is(Role::Service));
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let is_order =
            !request.method().is_safe() && self.orders.iter().any(|orders| route.starts_with(orders));
        is_of_service || is_order
    }
}

/// Passes what runs depend on, orders and requests of other services, to the routes that have connections of their own.
async fn separate_work(State(work): State<WorkRoutes>, request: Request, next: Next) -> Response {
    if !work.serves(&request) {
        return next.run(request).await;
    }
    // The other routes match the path again, so nothing of the first match may remain.
    let (mut parts, body) = request.into_parts();
    let mut matched = std::mem::take(&mut parts.extensions);
    matched.remove::<Caller>().map(|caller| parts.extensions.insert(caller));
    matched.remove::<RequestId>().map(|id| parts.extensions.insert(id));
    match work.routes.oneshot(Request::from_parts(parts, body)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Sets the request's id, and records logs and metrics.
async fn observe(service: &'static str, mut request: Request, next: Next) -> Response {
    let sane = |value: &&str| (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    let id: Arc<str> = given.map_or_else(|| Uuid::now_v7().to_string().into(), Into::into);
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().clone();
    request.extensions_mut().insert(RequestId(id.clone()));
    let began = Instant::now();
    let mut response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels =
        [("service", service.to_owned()), ("method", method.to_string()), ("path", path), ("status", status)];
    metrics::histogram!("http_request_duration_seconds", &labels).record(began.elapsed().as_secs_f64());
    tracing::debug!(service, http.method = %method, http.status = %labels[3].1, request.id = %id, "answered {}", labels[2].1);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[derive(Clone)]
struct Readiness {
    pool: PgPool,
    dependencies: Arc<Vec<(&'static str, String)>>,
    client: reqwest::Client,
}

async fn readyz(State(readiness): State<Readiness>) -> ApiResult<impl IntoResponse> {
    sqlx::query_scalar!("SELECT 1 AS one").fetch_one(&readiness.pool).await?;
    let mut report = serde_json::Map::from_iter([("database".to_owned(), "reachable".into())]);
    for (name, url) in readiness.dependencies.iter() {
        let asked =
            readiness.client.get(format!("{url}/healthz")).timeout(Duration::from_secs(2)).send().await;
        if !asked.is_ok_and(|answer| answer.status().is_success()) {
            return Err(ApiError::new(
                problem_types::DEPENDENCY_UNAVAILABLE,
                format!("the service `{name}` cannot be reached"),
            ));
        }
        report.insert((*name).to_owned(), "reachable".into());
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(report)))
}

/// Migrates, starts and serves until `context.shutdown` is cancelled.
pub async fn serve<S: Service>(
    context: Context,
    listener: TcpListener,
    settings: S::Settings,
) -> anyhow::Result<()> {
    telemetry::metrics();
    context.transport.check(listener.local_addr()?)?;
    let tls = context.transport.acceptor(context.shutdown.clone())?;
    crate::database::migrate(&context.pool, S::SCHEMA, S::migrator())
        .await
        .map_err(|error| anyhow::anyhow!(crate::database::explain(&error)))?;
    let dependencies = S::dependencies(&settings);
    let state = S::start(&context, settings).await?;
    context.tasks.spawn(audit_chain::run(context.pool.clone(), S::NAME, context.shutdown.clone()));
    context.tasks.spawn(audit_export::run(context.clone(), S::NAME, context.shutdown.clone()));
    let app = router::<S>(&context, state, dependencies);
    let address = listener.local_addr()?;
    tracing::info!(service = S::NAME, %address, "{} is listening", S::NAME);
    let stopping = context.shutdown.clone();
    let server = connections::serve(listener, app, tls, &context.limits, stopping);
    let deadline = async {
        context.shutdown.cancelled().await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        () = server => {}
        () = deadline => tracing::warn!(service = S::NAME, "requests were still open at the stop and were aborted"),
    }
    context.tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, context.tasks.wait()).await.is_err() {
        tracing::warn!(service = S::NAME, "background tasks were still running at the stop and were aborted");
    }
    Ok(())
}
