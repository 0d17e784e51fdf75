//! Who an account at the identity provider is here, and what that person may do.
//!
//! An account is bound to a subject when it signs in for the first time, and the binding stays: neither a renamed account nor another
//! one with the same name becomes that subject. Roles are those of the groups, each time.

use std::net::IpAddr;

use api_types::{
    access::{IssuedToken, Person, PutPerson, Role, Subject},
    problem_types,
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    AccessState, new_secret,
    oidc_store::{self, Bound, NewSignIn},
    store,
};
use crate::{
    audit,
    auth::{self, Caller},
    connections::Peer,
    error::{ApiError, ApiResult},
    oidc::{Account, Provider},
    people::{self, Written},
};

/// How and from where somebody signs in, for the audit log.
#[derive(Clone, Copy)]
pub(super) struct Way {
    action: &'static str,
    address: Option<IpAddr>,
}

impl Way {
    pub fn browser(peer: Option<Peer>) -> Self {
        Self { action: "start_session", address: peer.map(|peer| peer.0) }
    }

    pub fn program(peer: Option<Peer>) -> Self {
        Self { action: "create_token", address: peer.map(|peer| peer.0) }
    }
}

pub(super) struct SignedIn {
    pub issued: IssuedToken,
}

/// Starts a session, or issues a token, for the person of an account.
pub(super) async fn sign_in(
    state: &AccessState,
    provider: &Provider,
    account: &Account,
    way: Way,
) -> ApiResult<SignedIn> {
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    // A first sign-in may make an approver, as `PUT /access/people` may.
    store::lock_approvers(&mut tx).await?;
    let bound = oidc_store::find_identity(&mut tx, provider.issuer(), &account.sub).await?;
    let (bound, person) = match bound {
        Some(bound) => {
            let person = people::find_person(&mut tx, &bound.subject).await?;
            let person = person.ok_or_else(|| removed(&bound.subject))?;
            (bound, person)
        }
        None if account.roles.is_empty() => return Err(no_role(account.name.as_deref())),
        None => bind(&mut tx, state, provider, account).await?,
    };
    oidc_store::end_unfit_sign_ins(&mut tx, bound.id, &auth::role_names(&account.roles), now).await?;
    if person.roles != account.roles {
        let request = PutPerson { emails: person.emails.clone(), roles: account.roles.clone() };
        write_person(&mut tx, state, provider, &bound.subject, Some(&person), &request).await?;
    }
    if account.roles.is_empty() {
        // What the account has lost is lost, although nobody is signed in.
        tx.commit().await?;
        return Err(no_role(Some(&bound.subject)));
    }
    let (secret, id, expires_at) = (new_secret(), Uuid::now_v7(), now + provider.session());
    let new = NewSignIn { id, hash: auth::hash(&secret), identity: bound.id, now, expires_at };
    oidc_store::insert_sign_in(&mut tx, &new, &bound.subject, &auth::role_names(&account.roles)).await?;
    let caller =
        Caller { roles: account.roles.clone(), token_id: Some(id), ..by(state, bound.subject.clone()) };
    let facts = json!({
        "issuer": provider.issuer(), "sub": account.sub, "roles": account.roles, "expires_at": expires_at,
        "address": way.address,
    });
    let record = audit::Record::new(way.action, format!("session/{id}")).after(&facts);
    audit::record(&mut tx, &caller, record.reason(Some("signed in at the identity provider"))).await?;
    tx.commit().await?;
    let issued = IssuedToken {
        id,
        token: secret,
        subject: bound.subject,
        roles: account.roles.clone(),
        ci: None,
        expires_at,
    };
    Ok(SignedIn { issued })
}

/// Binds an account that signs in for the first time: to the person who has its verified address, or to a new person whose name nobody
/// had before.
async fn bind(
    conn: &mut PgConnection,
    state: &AccessState,
    provider: &Provider,
    account: &Account,
) -> ApiResult<(Bound, Person)> {
    let owner = match &account.email {
        Some(email) => find_owner(conn, email).await?,
        None => None,
    };
    let person = match owner {
        None => create_person(conn, state, provider, account).await?,
        Some(person) => {
            if oidc_store::is_bound(conn, &person.subject).await? {
                return Err(ApiError::forbidden(format!(
                    "`{}` signs in with another account of the provider; an administrator decides whose address it is",
                    person.subject
                )));
            }
            person
        }
    };
    let id = Uuid::now_v7();
    let (issuer, subject) = (provider.issuer(), person.subject.as_str());
    oidc_store::insert_identity(conn, id, issuer, &account.sub, subject, state.clock.now()).await?;
    let record = audit::Record::new("bind_identity", format!("person/{subject}"))
        .after(&json!({ "issuer": issuer, "sub": account.sub, "by_address": account.email }));
    audit::record(conn, &by(state, provider.writes_as()), record).await?;
    Ok((Bound { id, subject: person.subject.clone() }, person))
}

async fn find_owner(conn: &mut PgConnection, email: &str) -> ApiResult<Option<Person>> {
    let found = people::list_by_names(conn, &[email.to_owned()]).await?;
    Ok(found.into_iter().find(|person| person.emails.iter().any(|own| own == email)))
}

async fn create_person(
    conn: &mut PgConnection,
    state: &AccessState,
    provider: &Provider,
    account: &Account,
) -> ApiResult<Person> {
    let name = account.name.as_deref().unwrap_or_default().to_ascii_lowercase();
    let subject = Subject::new(&name).map_err(|error| {
        ApiError::forbidden(format!("the provider's name for this account cannot be a subject: {error}"))
    })?;
    if oidc_store::is_name_used(conn, subject.as_str()).await? {
        return Err(ApiError::new(
            problem_types::FORBIDDEN,
            format!(
                "`{subject}` is somebody else here, as far as the provider proves; if it is you, an administrator adds your \
                 verified address to the record: patchctl person add {subject} --email ADDRESS --role ROLE"
            ),
        ));
    }
    let emails = account.email.iter().cloned().collect();
    let request = PutPerson { emails, roles: account.roles.clone() };
    write_person(conn, state, provider, subject.as_str(), None, &request).await
}

/// The provider maintains the record: no second person is asked.
async fn write_person(
    conn: &mut PgConnection,
    state: &AccessState,
    provider: &Provider,
    subject: &str,
    before: Option<&Person>,
    request: &PutPerson,
) -> ApiResult<Person> {
    let writer = provider.writes_as();
    let written = Written { by: &writer, confirmed_by: None, at: state.clock.now() };
    let person = people::put_person(conn, subject, request, written)
        .await?
        .ok_or_else(|| ApiError::internal("a person that was written does not exist"))?;
    let record = audit::Record::new("put_person", format!("person/{subject}")).before(&before).after(&person);
    let record = record.reason(Some("the groups at the identity provider"));
    audit::record(conn, &by(state, writer.clone()), record).await?;
    Ok(person)
}

fn by(state: &AccessState, subject: String) -> Caller {
    Caller { roles: Vec::<Role>::new(), ..Caller::internal(state.service, subject) }
}

fn removed(subject: &str) -> ApiError {
    ApiError::forbidden(format!(
        "an administrator has removed the record of `{subject}`; ask one to add it again"
    ))
}

fn no_role(subject: Option<&str>) -> ApiError {
    let who =
        subject.unwrap_or("this account").chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    ApiError::forbidden(format!(
        "`{who}` is in no group that has a role here; ask an administrator of the identity provider"
    ))
}
