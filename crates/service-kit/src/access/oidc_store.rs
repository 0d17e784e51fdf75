//! SQL of sign-ins at the identity provider.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Sign-ins of one network that have begun: an office may be behind one address.
const MOST_OF_NETWORK: i64 = 200;
/// Of all together.
const MOST_PENDING: i64 = 10_000;
/// Sessions and tokens of one person; a further one ends the oldest.
const MOST_SIGN_INS: i64 = 20;

/// A sign-in that has begun.
pub(super) struct PendingSignIn {
    pub browser_hash: Vec<u8>,
    pub nonce: String,
    pub verifier: String,
    pub return_to: String,
    pub expires_at: DateTime<Utc>,
}

/// Those that have expired, and the oldest ones of a network above its limit.
pub(super) async fn remove_old_pending(
    conn: &mut PgConnection,
    network: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM platform.pending_sign_ins WHERE expires_at <= $1 OR (network = $2 AND state_hash NOT IN (
             SELECT state_hash FROM platform.pending_sign_ins WHERE network = $2 ORDER BY created_at DESC LIMIT $3))",
        now,
        network,
        MOST_OF_NETWORK - 1,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// `false` if there are too many.
pub(super) async fn insert_pending(
    conn: &mut PgConnection,
    state_hash: &[u8],
    pending: &PendingSignIn,
    network: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO platform.pending_sign_ins
             (state_hash, browser_hash, nonce, verifier, return_to, network, created_at, expires_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE (SELECT count(*) FROM platform.pending_sign_ins) < $9",
        state_hash,
        pending.browser_hash,
        pending.nonce,
        pending.verifier,
        pending.return_to,
        network,
        now,
        pending.expires_at,
        MOST_PENDING,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Takes a sign-in, so that nobody finishes it a second time.
pub(super) async fn take_pending(
    conn: &mut PgConnection,
    state_hash: &[u8],
) -> sqlx::Result<Option<PendingSignIn>> {
    sqlx::query_as!(
        PendingSignIn,
        "DELETE FROM platform.pending_sign_ins WHERE state_hash = $1
         RETURNING browser_hash, nonce, verifier, return_to, expires_at",
        state_hash,
    )
    .fetch_optional(conn)
    .await
}

/// Notes an ID token until it has expired; `false` if it was used before.
pub(super) async fn insert_used_token(
    conn: &mut PgConnection,
    hash: &[u8],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query!("DELETE FROM platform.used_id_tokens WHERE expires_at <= $1", now)
        .execute(&mut *conn)
        .await?;
    let inserted = sqlx::query!(
        "INSERT INTO platform.used_id_tokens (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
        hash,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// An account with the subject that it is.
pub(super) struct Bound {
    pub id: Uuid,
    pub subject: String,
}

pub(super) async fn find_identity(
    conn: &mut PgConnection,
    issuer: &str,
    sub: &str,
) -> sqlx::Result<Option<Bound>> {
    sqlx::query_as!(
        Bound,
        "SELECT id, subject FROM platform.identities WHERE issuer = $1 AND sub = $2",
        issuer,
        sub,
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn insert_identity(
    conn: &mut PgConnection,
    id: Uuid,
    issuer: &str,
    sub: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO platform.identities (id, issuer, sub, subject, first_at, last_at) VALUES ($1, $2, $3, $4, $5, $5)",
        id,
        issuer,
        sub,
        subject,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether an account signs in as this subject.
pub(super) async fn is_bound(conn: &mut PgConnection, subject: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM platform.identities WHERE subject = $1) AS "is_bound!""#,
        subject,
    )
    .fetch_one(conn)
    .await
}

/// Whether somebody has or had this name here: a person, also a removed one, a token, or an address.
pub(super) async fn is_name_used(conn: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM platform.people WHERE subject = $1)
               OR EXISTS (SELECT FROM platform.tokens WHERE lower(subject) = $1)
               OR EXISTS (SELECT FROM platform.person_addresses WHERE address = $1) AS "is_used!""#,
        name,
    )
    .fetch_one(conn)
    .await
}

/// Ends what the account signed in to with roles that it does not have any more, and removes what has ended, and the oldest above the
/// limit.
pub(super) async fn end_unfit_sign_ins(
    conn: &mut PgConnection,
    identity: Uuid,
    roles: &[String],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("UPDATE platform.identities SET last_at = $2 WHERE id = $1", identity, now)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "DELETE FROM platform.tokens WHERE identity = $1 AND (expires_at <= $2 OR revoked_at IS NOT NULL OR NOT roles <@ $3
             OR id NOT IN (SELECT id FROM platform.tokens WHERE identity = $1 AND expires_at > $2 AND revoked_at IS NULL
                 ORDER BY id DESC LIMIT $4))",
        identity,
        now,
        roles,
        MOST_SIGN_INS - 1,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A session or token to write.
pub(super) struct NewSignIn {
    pub id: Uuid,
    pub hash: [u8; 32],
    pub identity: Uuid,
    pub now: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub(super) async fn insert_sign_in(
    conn: &mut PgConnection,
    new: &NewSignIn,
    subject: &str,
    roles: &[String],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO platform.tokens (id, hash, subject, roles, created_at, expires_at, created_by, identity)
         VALUES ($1, $2, $3, $4, $5, $6, $3, $7)",
        new.id,
        new.hash.as_slice(),
        subject,
        roles,
        new.now,
        new.expires_at,
        new.identity,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends what a person signed in to at the provider.
pub(super) async fn end_sign_ins_of(
    conn: &mut PgConnection,
    subject: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE platform.tokens SET revoked_at = $2 WHERE subject = $1 AND identity IS NOT NULL AND revoked_at IS NULL",
        subject,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
