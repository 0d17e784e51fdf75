//! What the database says about itself.

use chrono::{DateTime, Utc};
use service_kit::ApiResult;
use sqlx::PgConnection;

#[derive(Debug)]
pub struct ServerRow {
    pub at: DateTime<Utc>,
    pub server_version: String,
    pub size_bytes: i64,
}

pub async fn get_server(conn: &mut PgConnection) -> ApiResult<ServerRow> {
    let server = sqlx::query_as!(
        ServerRow,
        "SELECT clock_timestamp() AS \"at!\", current_setting('server_version') AS \"server_version!\",
         pg_database_size(current_database()) AS \"size_bytes!\""
    )
    .fetch_one(conn)
    .await?;
    Ok(server)
}
