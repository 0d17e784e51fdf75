//! People records: which subject an address belongs to, and what that person may do by a link.

use api_types::access::{Person, PutPerson, Role, is_address};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{auth, error::FieldErrors};

/// Maximum number of addresses of one person.
const MAX_ADDRESSES: usize = 10;

/// The faults of the roles that a person or a token is to have. Services have tokens from files only.
pub(crate) fn check_roles(errors: &mut FieldErrors, roles: &[Role]) {
    errors.require(!roles.is_empty(), "/roles", "must name at least one role");
    for (index, role) in roles.iter().enumerate() {
        errors.require(
            *role != Role::Service,
            format!("/roles/{index}"),
            "is only for services, whose tokens come from files",
        );
    }
}

/// Addresses in one spelling, sorted and without doubles.
pub(crate) fn check_person(errors: &mut FieldErrors, request: &mut PutPerson) {
    check_roles(errors, &request.roles);
    errors.require(
        !request.roles.contains(&Role::Agent),
        "/roles",
        "must not have `agent`, which is for tokens",
    );
    errors.require(
        request.emails.len() <= MAX_ADDRESSES,
        "/emails",
        format!("must have at most {MAX_ADDRESSES} addresses"),
    );
    for (index, address) in request.emails.iter_mut().enumerate() {
        errors.require(
            is_address(address) && address.is_ascii(),
            format!("/emails/{index}"),
            "must be an e-mail address in ASCII such as `name@example.org`",
        );
        address.make_ascii_lowercase();
    }
    request.emails.sort();
    request.emails.dedup();
    request.roles.sort();
    request.roles.dedup();
}

struct Row {
    subject: String,
    roles: Vec<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    updated_by: String,
    confirmed_by: Option<String>,
    emails: Vec<String>,
}

impl From<Row> for Person {
    fn from(row: Row) -> Self {
        Self {
            subject: row.subject,
            emails: row.emails,
            roles: auth::roles_of(&row.roles),
            created_at: row.created_at,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
            confirmed_by: row.confirmed_by,
        }
    }
}

/// People by a subject or an address, each in any letter case. Without those that were removed.
pub async fn list_by_names(conn: &mut PgConnection, names: &[String]) -> sqlx::Result<Vec<Person>> {
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT subject, roles, created_at, updated_at, updated_by, confirmed_by,
               ARRAY(SELECT address FROM platform.person_addresses one WHERE one.subject = people.subject
                   ORDER BY address) AS "emails!: Vec<String>"
           FROM platform.people WHERE removed_at IS NULL AND (subject = ANY($1)
               OR subject IN (SELECT other.subject FROM platform.person_addresses other WHERE address = ANY($1)))
           ORDER BY subject"#,
        &names
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Person::from).collect())
}

/// In the order of their subjects, from after the subject `after`.
pub(crate) async fn list_people(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Person>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT subject, roles, created_at, updated_at, updated_by, confirmed_by,
               ARRAY(SELECT address FROM platform.person_addresses one WHERE one.subject = people.subject
                   ORDER BY address) AS "emails!: Vec<String>"
           FROM platform.people WHERE removed_at IS NULL AND ($1::text IS NULL OR subject > $1)
           ORDER BY subject LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Person::from).collect())
}

/// The person whose subject this is, and not an address.
pub async fn find_person(conn: &mut PgConnection, subject: &str) -> sqlx::Result<Option<Person>> {
    let found = list_by_names(conn, &[subject.to_owned()]).await?;
    Ok(found.into_iter().find(|person| person.subject == subject))
}

/// Who writes a record, and who confirmed it.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    pub by: &'a str,
    pub confirmed_by: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// Writes the record of a person, without a check of who may. The API checks it in `access`.
pub async fn put_person(
    conn: &mut PgConnection,
    subject: &str,
    request: &PutPerson,
    written: Written<'_>,
) -> sqlx::Result<Option<Person>> {
    sqlx::query!(
        "INSERT INTO platform.people (subject, roles, was_approver, created_at, updated_at, updated_by, confirmed_by)
         VALUES ($1, $2, $3, $4, $4, $5, $6)
         ON CONFLICT (subject) DO UPDATE SET roles = $2, was_approver = people.was_approver OR $3, updated_at = $4,
             updated_by = $5, confirmed_by = $6, removed_at = NULL",
        subject,
        &auth::role_names(&request.roles),
        request.roles.contains(&Role::Approver),
        written.at,
        written.by,
        written.confirmed_by,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM platform.person_addresses WHERE subject = $1", subject)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "INSERT INTO platform.person_addresses (address, subject) SELECT unnest($2::text[]), $1",
        subject,
        &request.emails
    )
    .execute(&mut *conn)
    .await?;
    find_person(conn, subject).await
}

/// Removes a person and frees the addresses; `false` if there is none.
pub(crate) async fn remove_person(
    conn: &mut PgConnection,
    subject: &str,
    written: Written<'_>,
) -> sqlx::Result<bool> {
    sqlx::query!("DELETE FROM platform.person_addresses WHERE subject = $1", subject)
        .execute(&mut *conn)
        .await?;
    let removed = sqlx::query!(
        "UPDATE platform.people SET removed_at = $2, updated_at = $2, updated_by = $3
         WHERE subject = $1 AND removed_at IS NULL",
        subject,
        written.at,
        written.by
    )
    .execute(conn)
    .await?;
    Ok(removed.rows_affected() == 1)
}
