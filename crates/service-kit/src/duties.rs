//! Separation of duties: who may decide on the work of others. There is one rule for changes, policies and everything
//! else that is approved, and for every way to decide on it.

use api_types::access::{Person, Role};
use sqlx::{PgConnection, PgPool};

use crate::{
    audit,
    auth::Caller,
    error::{ApiError, ApiResult},
    people,
};

/// Somebody who wants to decide, with every name by which they may have taken part in the work.
#[derive(Debug, Clone)]
pub struct Decider {
    pub subject: String,
    names: Vec<String>,
    is_approver: bool,
}

impl Decider {
    /// Who has decided, as it is recorded; the role was checked then.
    pub async fn of_record(conn: &mut PgConnection, subject: &str) -> sqlx::Result<Self> {
        let known = people::list_by_names(conn, &[subject.to_owned()]).await?;
        let names = known.iter().flat_map(names_of).chain([canonical(subject)]).collect();
        Ok(Self { subject: subject.to_owned(), names, is_approver: true })
    }

    /// The caller with the role of the token. A person who has the subject as an address decides under all own names.
    pub async fn of_caller(conn: &mut PgConnection, caller: &Caller) -> sqlx::Result<Self> {
        let is_approver = caller.is(Role::Approver);
        Ok(Self { is_approver, ..Self::of_record(conn, &caller.subject).await? })
    }

    /// The person with the roles of the record.
    pub fn of_person(person: &Person) -> Self {
        Self {
            subject: person.subject.clone(),
            names: names_of(person).collect(),
            is_approver: person.roles.contains(&Role::Approver),
        }
    }

    /// Whether a recorded subject is this person.
    pub fn is(&self, subject: &str) -> bool {
        self.names.contains(&canonical(subject))
    }
}

fn names_of(person: &Person) -> impl Iterator<Item = String> {
    person.emails.iter().chain([&person.subject]).map(|name| canonical(name))
}

/// One spelling of a recorded subject. Records of earlier versions have letters of both cases, and `email:` before the address
/// of who decided by a link.
fn canonical(subject: &str) -> String {
    subject.strip_prefix("email:").unwrap_or(subject).trim().to_lowercase()
}

/// What somebody did to the work that is decided on: `requested`, `edited`.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub did: &'static str,
    pub by: &'a str,
}

impl<'a> Part<'a> {
    pub fn new(did: &'static str, by: &'a str) -> Self {
        Self { did, by }
    }
}

/// Why somebody may not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoApprover,
    TookPart(&'static str),
}

fn refusal<'a>(decider: &Decider, parts: impl IntoIterator<Item = Part<'a>>) -> Option<Refusal> {
    if !decider.is_approver {
        return Some(Refusal::NoApprover);
    }
    let own = parts.into_iter().find(|part| decider.is(part.by))?;
    Some(Refusal::TookPart(own.did))
}

/// The rule: an approver decides, who took no part in the work. `what` names the work: `change CHG0000001`.
pub fn may_decide<'a>(
    decider: &Decider,
    what: &str,
    parts: impl IntoIterator<Item = Part<'a>>,
) -> ApiResult<()> {
    let subject = &decider.subject;
    match refusal(decider, parts) {
        None => Ok(()),
        Some(Refusal::NoApprover) => Err(ApiError::forbidden(format!(
            "`{subject}` does not have the role `approver` and cannot decide on {what}"
        ))),
        Some(Refusal::TookPart(part)) => Err(ApiError::forbidden(format!(
            "`{subject}` {part} {what} and cannot decide on it; ask another approver"
        ))),
    }
}

/// The person to whom an address belongs, if that person may decide; else why not. `people` are those of
/// [`people::list_by_names`] for the address.
pub fn approver_at<'p, 'a>(
    people: &'p [Person],
    address: &str,
    parts: impl IntoIterator<Item = Part<'a>>,
) -> Result<&'p Person, String> {
    let has_address = |person: &&Person| person.emails.iter().any(|one| one.eq_ignore_ascii_case(address));
    let Some(person) = people.iter().find(has_address) else {
        return Err(
            "belongs to nobody who may approve; an administrator adds people with `patchctl person add`"
                .to_owned(),
        );
    };
    match refusal(&Decider::of_person(person), parts) {
        None => Ok(person),
        Some(Refusal::NoApprover) => {
            Err(format!("belongs to `{}`, who does not have the role `approver`", person.subject))
        }
        Some(Refusal::TookPart(part)) => {
            Err(format!("belongs to `{}`, who {part} this and cannot decide on it", person.subject))
        }
    }
}

/// The wrong ones of the addresses that are to be asked for a decision: index and reason.
pub async fn wrong_addresses<'a>(
    conn: &mut PgConnection,
    addresses: &[String],
    parts: impl IntoIterator<Item = Part<'a>> + Clone,
) -> sqlx::Result<Vec<(usize, String)>> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let people = people::list_by_names(conn, addresses).await?;
    let wrong = |(index, address): (usize, &String)| {
        approver_at(&people, address, parts.clone()).err().map(|reason| (index, reason))
    };
    Ok(addresses.iter().enumerate().filter_map(wrong).collect())
}

/// Records an attempt that was refused. The transaction of the attempt must have ended.
pub async fn record_refusal(
    pool: &PgPool,
    caller: &Caller,
    action: &str,
    object: String,
    refusal: &ApiError,
) -> ApiResult<()> {
    let (action, reason) = (format!("refuse_{action}"), refusal.to_string());
    let record = audit::Record { action: &action, object, reason: Some(&reason), ..audit::Record::default() };
    audit::record(&mut *pool.acquire().await?, caller, record).await
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn person(subject: &str, emails: &[&str], roles: &[Role]) -> Person {
        let now = Utc::now();
        Person {
            subject: subject.to_owned(),
            emails: emails.iter().map(|&one| one.to_owned()).collect(),
            roles: roles.to_vec(),
            created_at: now,
            updated_at: now,
            updated_by: "ada".to_owned(),
            confirmed_by: None,
        }
    }

    #[test]
    fn nobody_decides_on_own_work_under_any_of_their_names() {
        let arjun = Decider::of_person(&person("arjun", &["arjun@example.org"], &[Role::Approver]));
        for name in ["arjun", "Arjun", "arjun@example.org", "ARJUN@example.org", "email:arjun@example.org"] {
            let refused =
                may_decide(&arjun, "change C", [Part::new("edited", "olivia"), Part::new("opened", name)]);
            assert!(refused.unwrap_err().to_string().contains("`arjun` opened change C"), "{name}");
        }
        assert!(may_decide(&arjun, "change C", [Part::new("requested", "arjuna")]).is_ok());
        let olivia = Decider::of_person(&person("olivia", &[], &[Role::Operator, Role::Admin]));
        assert!(may_decide(&olivia, "change C", []).unwrap_err().to_string().contains("the role `approver`"));
    }

    #[test]
    fn address_is_of_an_approver_who_took_no_part() {
        let people = [
            person("arjun", &["arjun@example.org"], &[Role::Approver]),
            person("olivia", &["olivia@example.org"], &[Role::Operator]),
        ];
        let parts = [Part::new("requested", "olivia")];
        assert_eq!(approver_at(&people, "Arjun@Example.org", parts).unwrap().subject, "arjun");
        for (address, parts, reason) in [
            ("mallory@example.org", parts, "belongs to nobody"),
            ("olivia@example.org", parts, "does not have the role"),
            // A subject is not an address.
            ("arjun", parts, "belongs to nobody"),
            ("arjun@example.org", [Part::new("edited", "ARJUN")], "who edited this"),
        ] {
            let refused = approver_at(&people, address, parts).unwrap_err();
            assert!(refused.contains(reason), "{address}: {refused}");
        }
    }
}
