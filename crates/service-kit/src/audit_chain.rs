//! The hash chain over the audit records of a service: each seal covers its record and the seal before it, so that a record that
//! was changed, removed or inserted later does not fit.

use std::time::Duration;

use api_types::access::{AuditCheck, AuditFault, AuditHash};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::{ApiResult, chain};

/// Between two rounds, and the limit of one.
const INTERVAL: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(30);
/// Records that one transaction seals.
const BATCH: i64 = 500;

type Hash = [u8; 32];

/// The seal before the first one.
const START: Hash = [0; 32];

/// A record as it is sealed. JSON is kept as the database writes it: reading it must not change a number.
struct Record {
    sequence: i64,
    at: DateTime<Utc>,
    service: String,
    subject: String,
    token_id: Option<Uuid>,
    action: String,
    object: String,
    before: Option<String>,
    after: Option<String>,
    reason: Option<String>,
    request_id: Option<String>,
}

impl Record {
    /// Each text with its length, so that no two records have the same bytes.
    fn seal(&self, before: &Hash) -> Hash {
        let mut hasher = Sha256::new_with_prefix(before);
        hasher.update(self.sequence.to_be_bytes());
        hasher.update(self.at.timestamp_micros().to_be_bytes());
        let token_id = self.token_id.map(|id| id.to_string());
        let texts = [
            Some(self.service.as_str()),
            Some(self.subject.as_str()),
            token_id.as_deref(),
            Some(self.action.as_str()),
            Some(self.object.as_str()),
            self.before.as_deref(),
            self.after.as_deref(),
            self.reason.as_deref(),
            self.request_id.as_deref(),
        ];
        for text in texts {
            match text {
                None => hasher.update([0u8]),
                Some(text) => {
                    hasher.update([1u8]);
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text);
                }
            }
        }
        hasher.finalize().into()
    }
}

/// The end of a chain.
struct End {
    position: i64,
    hash: Hash,
}

/// Seals the records of a service until the process stops. Any number of replicas may run it: one at a time has the lock.
pub(crate) async fn run(pool: PgPool, service: &'static str, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match tokio::time::timeout(DEADLINE, seal_waiting(&pool, service)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error.source = chain(&error),
                    "audit records could not be sealed; it is tried again"
                );
            }
            Err(_) => tracing::warn!("sealing audit records took too long and will be repeated"),
        }
    }
}

async fn seal_waiting(pool: &PgPool, service: &str) -> ApiResult<()> {
    loop {
        let mut tx = pool.begin().await?;
        let lock = format!("platform.audit_seals/{service}");
        if !try_lock(&mut tx, &lock).await? {
            return Ok(());
        }
        drop_sealed(&mut tx, service).await?;
        let waiting = list_waiting(&mut tx, service, BATCH).await?;
        if waiting.is_empty() {
            return Ok(tx.commit().await?);
        }
        let mut end = find_end(&mut tx, service).await?.unwrap_or(End { position: 0, hash: START });
        let first = end.position + 1;
        let mut sequences = Vec::new();
        let mut hashes = Vec::new();
        for record in &waiting {
            end = End { position: end.position + 1, hash: record.seal(&end.hash) };
            sequences.push(record.sequence);
            hashes.push(end.hash.to_vec());
        }
        insert_seals(&mut tx, service, first, &sequences, &hashes).await?;
        tx.commit().await?;
        if (waiting.len() as i64) < BATCH {
            return Ok(());
        }
    }
}

async fn try_lock(conn: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS "locked!""#, name)
        .fetch_one(conn)
        .await
}

/// Records that an update queued again.
async fn drop_sealed(conn: &mut PgConnection, service: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM platform.audit_unsealed waiting WHERE service = $1
         AND EXISTS (SELECT FROM platform.audit_seals seal WHERE seal.sequence = waiting.sequence)",
        service
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn list_waiting(conn: &mut PgConnection, service: &str, limit: i64) -> sqlx::Result<Vec<Record>> {
    sqlx::query_as!(
        Record,
        r#"SELECT log.sequence, log.at, log.service, log.subject, log.token_id, log.action, log.object,
               log.before::text AS before, log.after::text AS after, log.reason, log.request_id
           FROM platform.audit_unsealed waiting JOIN platform.audit_log log USING (sequence)
           WHERE waiting.service = $1 ORDER BY waiting.sequence LIMIT $2"#,
        service,
        limit
    )
    .fetch_all(conn)
    .await
}

async fn find_end(conn: &mut PgConnection, service: &str) -> sqlx::Result<Option<End>> {
    let row = sqlx::query!(
        "SELECT position, hash FROM platform.audit_seals WHERE service = $1 ORDER BY position DESC LIMIT 1",
        service
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| End { position: row.position, hash: hash_of(&row.hash) }))
}

/// Position and hash of the last seal; `None` without one.
pub(crate) async fn find_end_of(
    conn: &mut PgConnection,
    service: &str,
) -> sqlx::Result<Option<(i64, [u8; 32])>> {
    Ok(find_end(conn, service).await?.map(|end| (end.position, end.hash)))
}

/// The hashes at those of these positions that the chain has, in their order.
pub(crate) async fn list_hashes(
    conn: &mut PgConnection,
    service: &str,
    positions: &[i64],
) -> sqlx::Result<Vec<AuditHash>> {
    let rows = sqlx::query!(
        "SELECT position, hash FROM platform.audit_seals WHERE service = $1 AND position = ANY($2) ORDER BY position",
        service,
        positions
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AuditHash { position: row.position, hash: hex::encode(row.hash) })
        .collect())
}

/// Positions from `first` on; the records wait no longer.
async fn insert_seals(
    conn: &mut PgConnection,
    service: &str,
    first: i64,
    sequences: &[i64],
    hashes: &[Vec<u8>],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO platform.audit_seals (service, position, sequence, hash)
         SELECT $1, $2 + ordinality - 1, one.sequence, one.hash
         FROM unnest($3::bigint[], $4::bytea[]) WITH ORDINALITY AS one (sequence, hash, ordinality)",
        service,
        first,
        sequences,
        hashes
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM platform.audit_unsealed WHERE sequence = ANY($1)", sequences)
        .execute(conn)
        .await?;
    Ok(())
}

/// A column of 32 bytes.
fn hash_of(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or(START)
}

struct SealRow {
    position: i64,
    sequence: i64,
    hash: Vec<u8>,
    at: Option<DateTime<Utc>>,
    service: Option<String>,
    subject: Option<String>,
    token_id: Option<Uuid>,
    action: Option<String>,
    object: Option<String>,
    before: Option<String>,
    after: Option<String>,
    reason: Option<String>,
    request_id: Option<String>,
}

impl SealRow {
    /// `None` if the record is gone.
    fn record(self) -> Option<Record> {
        Some(Record {
            sequence: self.sequence,
            at: self.at?,
            service: self.service?,
            subject: self.subject?,
            token_id: self.token_id,
            action: self.action?,
            object: self.object?,
            before: self.before,
            after: self.after,
            reason: self.reason,
            request_id: self.request_id,
        })
    }
}

/// Checks up to `limit` seals after a position against their records.
pub(crate) async fn check(
    conn: &mut PgConnection,
    service: &str,
    after: i64,
    limit: i64,
) -> ApiResult<AuditCheck> {
    let rows = list_seals(conn, service, after, limit).await?;
    let is_last = (rows.len() as i64) < limit;
    let mut end = End { position: after, hash: find_hash(conn, service, after).await? };
    let mut fault = None;
    for row in rows {
        let (position, sequence, sealed) = (row.position, row.sequence, hash_of(&row.hash));
        let reason = if position != end.position + 1 {
            Some("seals before this one are missing")
        } else {
            match row.record() {
                None => Some("the record is missing"),
                Some(record) if record.seal(&end.hash) != sealed => {
                    Some("the record or its seal was changed")
                }
                Some(_) => None,
            }
        };
        if let Some(reason) = reason {
            fault = Some(AuditFault { position, sequence, reason: reason.to_owned() });
            break;
        }
        end = End { position, hash: sealed };
    }
    let is_complete = fault.is_none() && is_last;
    let (waiting, outside) = if is_complete { count_unsealed(conn, service).await? } else { (0, 0) };
    Ok(AuditCheck {
        service: service.to_owned(),
        position: end.position,
        hash: hex::encode(end.hash),
        is_complete,
        waiting,
        outside,
        fault,
    })
}

async fn find_hash(conn: &mut PgConnection, service: &str, position: i64) -> sqlx::Result<Hash> {
    let found = sqlx::query_scalar!(
        "SELECT hash FROM platform.audit_seals WHERE service = $1 AND position = $2",
        service,
        position
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map_or(START, |hash| hash_of(&hash)))
}

async fn list_seals(
    conn: &mut PgConnection,
    service: &str,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<SealRow>> {
    sqlx::query_as!(
        SealRow,
        r#"SELECT seal.position, seal.sequence, seal.hash, log.at AS "at?", log.service AS "service?",
               log.subject AS "subject?", log.token_id, log.action AS "action?", log.object AS "object?",
               log.before::text AS before, log.after::text AS after, log.reason, log.request_id
           FROM platform.audit_seals seal LEFT JOIN platform.audit_log log USING (sequence)
           WHERE seal.service = $1 AND seal.position > $2 ORDER BY seal.position LIMIT $3"#,
        service,
        after,
        limit
    )
    .fetch_all(conn)
    .await
}

/// Records that wait for their seal, and those that neither have one nor wait: somebody wrote them past the trigger.
async fn count_unsealed(conn: &mut PgConnection, service: &str) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"SELECT count(waiting.sequence) AS "waiting!", count(*) FILTER (WHERE waiting.sequence IS NULL) AS "outside!"
           FROM platform.audit_log log
           LEFT JOIN platform.audit_seals seal USING (sequence)
           LEFT JOIN platform.audit_unsealed waiting USING (sequence)
           WHERE log.service = $1 AND seal.sequence IS NULL"#,
        service
    )
    .fetch_one(conn)
    .await?;
    Ok((row.waiting, row.outside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            sequence: 7,
            at: DateTime::UNIX_EPOCH,
            service: "itsm".to_owned(),
            subject: "olivia".to_owned(),
            token_id: None,
            action: "create_change".to_owned(),
            object: "change/CHG1".to_owned(),
            before: None,
            after: Some("{\"a\": 1.0}".to_owned()),
            reason: None,
            request_id: None,
        }
    }

    #[test]
    fn seal_depends_on_every_field_and_on_the_seal_before() {
        let seal = record().seal(&START);
        assert_eq!(record().seal(&START), seal);
        assert_ne!(record().seal(&seal), seal);
        let others = [
            Record { sequence: 8, ..record() },
            Record { at: DateTime::UNIX_EPOCH + chrono::TimeDelta::microseconds(1), ..record() },
            Record { service: "cmdb".to_owned(), ..record() },
            Record { subject: "arjun".to_owned(), ..record() },
            Record { token_id: Some(Uuid::nil()), ..record() },
            Record { action: "create".to_owned(), object: "_changechange/CHG1".to_owned(), ..record() },
            Record { object: "change/CHG2".to_owned(), ..record() },
            Record { before: record().after, after: None, ..record() },
            Record { after: Some("{\"a\": 1.00}".to_owned()), ..record() },
            Record { reason: Some(String::new()), ..record() },
            Record { request_id: Some(String::new()), ..record() },
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(other.seal(&START), seal, "case {index}");
        }
    }
}
