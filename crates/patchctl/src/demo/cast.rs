//! What the scenes share: the people of the demo, waiting for what they asked for, and the check of how it ended.

use std::time::Duration;

use api_client::{
    access::AccessClient, cmdb::CmdbClient, itsm::ItsmClient, patch::PatchClient, releases::ReleasesClient,
    sim::SimClient, sim_customers::SimCustomersClient,
};
use api_types::access::{CreateToken, Outcome, Proposed, PutPerson, Role, Subject};
use secrecy::ExposeSecret;
use service_kit::Clock;
use tokio::time::Instant;

use crate::{arguments::DemoHosts, platform::Platform, poll::poll};
use terminal::Failure;

/// Timeout of each part of a scene.
const TIMEOUT: Duration = Duration::from_secs(900);
const POLL: Duration = Duration::from_millis(300);

/// The people of the demo: clients with the token of each.
pub(super) struct Cast {
    pub hosts: DemoHosts,
    pub clock: Clock,
    pub started: Instant,
    /// The operator.
    pub olivia: PatchClient,
    pub olivia_cmdb: CmdbClient,
    pub olivia_sim: SimClient,
    pub olivia_itsm: ItsmClient,
    pub olivia_releases: ReleasesClient,
    pub sim_customers: SimCustomersClient,
    /// The approver.
    pub arjun: ItsmClient,
    pub olivia_token: String,
    pub arjun_token: String,
}

pub(super) async fn cast(platform: &Platform, hosts: DemoHosts, clock: Clock) -> Result<Cast, Failure> {
    let addresses = &platform.addresses;
    let admin = AccessClient::new(&addresses.patch_manager, platform.admin_token.expose_secret());
    let olivia = token(&admin, "olivia", Role::Operator).await?;
    // The first approver: nobody else could confirm him.
    let person = PutPerson { emails: vec!["arjun@example.com".to_owned()], roles: vec![Role::Approver] };
    confirmed(admin.put_person("arjun", &person).await?)?;
    let arjun = token(&admin, "arjun", Role::Approver).await?;
    Ok(Cast {
        hosts,
        clock,
        started: Instant::now(),
        olivia: PatchClient::new(&addresses.patch_manager, &olivia),
        olivia_cmdb: CmdbClient::new(&addresses.cmdb, &olivia),
        olivia_sim: SimClient::new(&addresses.sim_engine, &olivia),
        olivia_itsm: ItsmClient::new(&addresses.itsm, &olivia),
        olivia_releases: ReleasesClient::new(&addresses.patch_manager, &olivia),
        sim_customers: SimCustomersClient::new(&addresses.sim_engine, &olivia),
        arjun: ItsmClient::new(&addresses.itsm, &arjun),
        olivia_token: olivia,
        arjun_token: arjun,
    })
}

async fn token(admin: &AccessClient, subject: &str, role: Role) -> Result<String, Failure> {
    let subject = Subject::new(subject).map_err(|error| Failure::new(error.to_string()))?;
    let request = CreateToken { subject, roles: vec![role], ci: None, expires_in_days: 60 };
    Ok(confirmed(admin.create_token(&request).await?)?.token)
}

/// What needs no second person on a platform without people.
pub(super) fn confirmed<T>(outcome: Outcome<T>) -> Result<T, Failure> {
    match outcome {
        Outcome::Done(made) => Ok(made),
        Outcome::Proposed(proposal) => Err(Failure::new(format!(
            "a second person must confirm `{}`, because the data folder has an approver already",
            match proposal.proposed {
                Proposed::CreateToken { subject, .. } | Proposed::PutPerson { subject, .. } =>
                    subject.to_string(),
                Proposed::WeakenControl(weakening) => weakening.weakens.join("; "),
            }
        ))
        .hint("play the demo in a new folder: leave out --data-dir, or name another")),
    }
}

pub(super) async fn until<T>(
    what: &str,
    ask: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let answer = poll(TIMEOUT, POLL, ask).await?;
    answer.ok_or_else(|| Failure::new(format!("{what} took longer than {} s", TIMEOUT.as_secs())))
}

/// Fails the demo with the first of these that does not hold.
pub(super) fn check(expected: &[(bool, &str)]) -> Result<(), Failure> {
    match expected.iter().find(|(holds, _)| !holds) {
        Some((_, text)) => Err(Failure::new(format!("the demo failed: {text}"))),
        None => Ok(()),
    }
}
