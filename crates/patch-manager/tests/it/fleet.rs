//! Hosts in the CMDB and their packages, from the tables of the seeded advisories.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use test_support::Http;

use crate::platform::Platform;

pub fn seeds() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../seeds/advisories")
}

/// The seeded advisories except those that arrive later, one a line.
pub fn seed_lines() -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(seeds()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("DCOS-") {
            let record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            lines.extend(format!("{record}\n").into_bytes());
        }
    }
    lines
}

/// Which version of each package a host has.
#[derive(Clone, Copy)]
pub enum Age {
    /// The installed version: every fix is missing.
    Base,
    /// The last fixed version.
    Newest,
}

/// Packages of an OS (`rocky9`), from the tables of the seeds.
pub fn packages(os: &str, names: &[&str], age: Age) -> Vec<Value> {
    let table: Value = serde_json::from_slice(&fs::read(seeds().join("packages.json")).unwrap()).unwrap();
    let release = os.parse::<advisories::OsRelease>().unwrap().to_string();
    let package = |name: &&str| {
        let entry = &table[&release][*name];
        let fixed = entry["fixed_versions"].as_array().unwrap();
        let version = match age {
            Age::Base => entry["base_version"].clone(),
            Age::Newest => fixed.last().unwrap().clone(),
        };
        json!({ "name": name, "version": version, "source": entry["source"], "candidate": fixed.last() })
    };
    names.iter().map(package).collect()
}

pub fn inventory(ci: &str, os: &str, names: &[&str], age: Age) -> Value {
    json!({ "ci_id": ci, "os": os, "packages": packages(os, names, age) })
}

impl Platform {
    pub async fn add_host(&self, id: &str, tags: Value) {
        let ci = json!({ "id": id, "type": "vm", "tags": tags, "attributes": { "driver": "model" } });
        self.librarian.post("/cmdb/cis", &ci).await.expect(201);
    }

    /// `web-1`, `web-2` (production, Rocky 9), `db-1` (staging, Debian 12).
    pub async fn add_fleet(&self) {
        self.add_host("web-1", json!({ "env": "prod", "os": "rocky9", "tier": "web" })).await;
        self.add_host("web-2", json!({ "env": "prod", "os": "rocky9", "tier": "web" })).await;
        self.add_host("db-1", json!({ "env": "staging", "os": "debian12", "tier": "db" })).await;
    }

    pub async fn push(&self, inventory: &Value) -> Value {
        self.operator.post("/patch/inventory", inventory).await.expect(200)
    }

    pub async fn add_policy(&self, id: &str, tags: Value, level: Option<&str>) -> Value {
        let mut policy = json!({ "id": id, "name": id, "target_ci_tags": tags });
        if let Some(level) = level {
            policy["patch_level"] = level.into();
        }
        self.operator.post("/patch/policies", &policy).await.expect(201)
    }

    /// All seeded advisories except those that arrive later.
    pub async fn import_seeds(&self) {
        let report = import(&self.operator, seed_lines()).await;
        assert_eq!((&report["new"], &report["refused"]), (&json!(21), &json!([])), "{report}");
    }

    pub async fn import_file(&self, name: &str) -> Value {
        import(&self.operator, fs::read(seeds().join(name)).unwrap()).await
    }

    pub async fn compliance_of(&self, ci: &str) -> Value {
        self.operator.get(&format!("/patch/compliance/{ci}")).await.expect(200)
    }

    /// The roll-ups must equal a count of the rows.
    pub async fn expect_exact_rollups(&self) {
        let drift = sqlx::query_scalar::<_, i64>(
            "WITH counted AS (
                 SELECT d.dimension, d.value, s.status, count(*) AS hosts
                 FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id CROSS JOIN LATERAL (VALUES ('total', ''), ('env', h.env), ('os', h.os), ('tier', h.tier),
                     ('owner', h.owner), ('cluster', h.cluster)) AS d (dimension, value)
                 WHERE h.active GROUP BY 1, 2, 3
                 UNION ALL
                 SELECT 'policy', policy_no::text, status, count(*) FROM patch.compliance WHERE policy_no > 0 GROUP BY 1, 2, 3
             )
             SELECT count(*) FROM counted c
             FULL JOIN (SELECT dimension, value, status, sum(hosts) AS hosts FROM patch.compliance_rollup
                        GROUP BY 1, 2, 3 HAVING sum(hosts) <> 0) r USING (dimension, value, status)
             WHERE c.hosts IS DISTINCT FROM r.hosts",
        )
        .fetch_one(&self.patch.pool)
        .await
        .unwrap();
        assert_eq!(drift, 0, "the roll-ups differ from what they sum up");
        let drift = sqlx::query_scalar::<_, i64>(
            "WITH missing AS (
                 SELECT f.advisory_no, h.id AS host_id, CASE count(*) WHEN 1 THEN min(f.no) END AS finding_no FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
                 JOIN patch.set_findings sf ON sf.set_no = s.set_no JOIN patch.findings f ON f.no = ANY(sf.findings)
                 WHERE h.active GROUP BY 1, 2
             ), counted AS (SELECT advisory_no, sum(hosts) AS hosts FROM patch.advisory_counts GROUP BY 1 HAVING sum(hosts) <> 0)
             SELECT (SELECT count(*) FROM (SELECT advisory_no, count(*) AS hosts FROM missing GROUP BY 1) l
                     FULL JOIN counted c USING (advisory_no) WHERE l.hosts IS DISTINCT FROM c.hosts)
                  + (SELECT count(*) FROM missing l FULL JOIN patch.affected a USING (advisory_no, host_id)
                     WHERE l.host_id IS NULL OR a.host_id IS NULL OR l.finding_no IS DISTINCT FROM a.finding_no)",
        )
        .fetch_one(&self.patch.pool)
        .await
        .unwrap();
        assert_eq!(drift, 0, "the counts of advisories differ from what they count");
    }
}

pub async fn import(operator: &Http, feed: Vec<u8>) -> Value {
    let headers = [("content-type", "application/octet-stream")];
    operator.send(reqwest::Method::POST, "/patch/advisories/import", &headers, Some(feed)).await.expect(200)
}
