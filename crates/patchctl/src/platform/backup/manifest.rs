//! What an archive says about itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cmdb::Cmdb;
use itsm::Itsm;
use patch_manager::PatchManager;
use serde::{Deserialize, Serialize};
use service_kit::{database, server::Service};
use sim_engine::SimEngine;
use sqlx::migrate::Migrator;
use uuid::Uuid;

use crate::platform::data_dir;
use terminal::Failure;

/// Increases when the layout of archives changes.
pub const FORMAT: u32 = 1;
pub const NAME: &str = "manifest.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Format of the data folder.
    pub data_format: u32,
    pub made_at: DateTime<Utc>,
    /// Version of the program that made it.
    pub program: String,
    /// Version of the server.
    pub postgres: String,
    pub installation: Option<Uuid>,
    pub epoch: Option<i64>,
    /// The newest migration of each schema.
    pub migrations: BTreeMap<String, i64>,
    pub parts: Vec<Part>,
}

/// A file in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// The schemas of the platform, each with the table of its migrations and those that this program knows.
pub fn schemas() -> [(&'static str, &'static str, Migrator); 6] {
    [
        ("platform", "platform._sqlx_migrations", database::platform_migrator()),
        (Cmdb::SCHEMA, "cmdb._sqlx_migrations", Cmdb::migrator()),
        (Itsm::SCHEMA, "itsm._sqlx_migrations", Itsm::migrator()),
        (SimEngine::SCHEMA, "sim._sqlx_migrations", SimEngine::migrator()),
        ("leases", "leases.migrations", leases::migrator()),
        (PatchManager::SCHEMA, "patch._sqlx_migrations", PatchManager::migrator()),
    ]
}

impl Manifest {
    /// Refuses what a newer program has written.
    pub fn check(&self) -> Result<(), Failure> {
        let newer = |what: String| {
            Failure::new(format!(
                "the backup was made by a newer version of patchctl ({what}); restore it with that version"
            ))
        };
        if self.format > FORMAT {
            return Err(newer(format!("archive format {}, this version knows {FORMAT}", self.format)));
        }
        if self.data_format > data_dir::FORMAT {
            return Err(newer(format!(
                "data format {}, this version knows {}",
                self.data_format,
                data_dir::FORMAT
            )));
        }
        let known = schemas();
        for (schema, version) in &self.migrations {
            let newest = known
                .iter()
                .find(|(name, ..)| name == schema)
                .and_then(|(_, _, migrator)| migrator.iter().map(|migration| migration.version).max());
            if newest.is_none_or(|newest| *version > newest) {
                return Err(newer(format!("migration {version} of schema `{schema}` is unknown here")));
            }
        }
        Ok(())
    }
}
