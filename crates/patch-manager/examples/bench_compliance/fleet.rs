//! A fleet of different hosts, the same in every run, and its advisories.
//!
//! A host has 40 packages and 20 pending patches: 19 fixes of its packages, and one of a library that is too old on nearly
//! every host. A tool on every 27,000th host is the rare case.

use std::fmt::Write;

/// Names of packages, in addition to the library and the tool.
const NAMES: usize = 400;
/// Releases with a fix: each has its own advisory and CVE.
const FIXED: [u32; 5] = [10, 20, 30, 40, 50];
/// Packages of a host that are missing one, two and three fixes: 9 + 2 * 2 + 2 * 3 = 19.
const MISSING: [(usize, u32); 3] = [(9, 1), (2, 2), (2, 3)];
const PACKAGES: usize = 39;
/// One of this many hosts has the tool.
const RARE: usize = 27_000;
pub const PENDING: usize = 20;
pub const COMMON_CVE: &str = "CVE-2025-900001";
pub const MIDDLE_CVE: &str = "CVE-2025-500007";
pub const RARE_CVE: &str = "CVE-2025-900002";
pub const LIBRARY: &str = "library-of-all";

pub fn ci_id(host: usize) -> String {
    format!("host-{host:07}")
}

pub const ENVIRONMENTS: [&str; 3] = ["prod", "staging", "dev"];

/// `env`, `tier`, `owner`, `cluster` of a host.
pub fn tags_sql() -> &'static str {
    "jsonb_build_object('os', 'rocky9', 'env', (ARRAY['prod', 'staging', 'dev'])[1 + n % 3], 'tier', 'tier-' || n % 4,
         'owner', 'team-' || n % 20, 'cluster', 'cluster-' || n % 50)"
}

/// Small, fast and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// One line of JSON. In each later round two packages have got their fix and two others need one.
pub fn inventory(host: usize, round: u32) -> String {
    let mut random = Random(host as u64 * 7919 + 1);
    let mut line = format!("{{\"ci_id\":\"{}\",\"os\":\"rocky9\",\"packages\":[", ci_id(host));
    // Coprime to the number of names, so that no package repeats on a host.
    let (start, step) = (random.below(NAMES as u64) as usize, 1 + 10 * random.below(40) as usize);
    let mut missing = MISSING.iter().flat_map(|(packages, fixes)| std::iter::repeat_n(*fixes, *packages));
    for place in 0..PACKAGES {
        let mut fixes = missing.next().unwrap_or(0);
        // The first packages are missing one fix; those from the twentieth on none.
        let shifted = round as usize * 2;
        if shifted > 0 && (shifted - 2..shifted).contains(&place) {
            fixes = 0;
        }
        if shifted > 0 && (18 + shifted..20 + shifted).contains(&place) {
            fixes = 1;
        }
        let name = (start + place * step) % NAMES;
        let release = FIXED[FIXED.len() - 1] - 10 * fixes + random.below(9) as u32;
        let _ = write!(
            line,
            "{{\"name\":\"pkg-{name:03}\",\"version\":\"2.4.1-{release}.el9\",\"arch\":\"x86_64\"}},"
        );
    }
    let library = if host % 20 == 19 { 12 } else { 3 };
    let _ = write!(line, "{{\"name\":\"{LIBRARY}\",\"version\":\"1.0-{library}.el9\",\"arch\":\"x86_64\"}}");
    if host % RARE == 11 {
        line.push_str(",{\"name\":\"rare-tool\",\"version\":\"1.0-1.el9\",\"arch\":\"x86_64\"}");
    }
    line.push_str("]}");
    line
}

fn advisory(id: &str, cve: &str, package: &str, fixed: &str, day: u32) -> String {
    let published = format!("2025-{:02}-{:02}T00:00:00Z", 1 + day / 28 % 12, 1 + day % 28);
    format!(
        "{{\"schema_version\":\"1.7.0\",\"id\":\"{id}\",\"modified\":\"{published}\",\"published\":\"{published}\",\
         \"upstream\":[\"{cve}\"],\"summary\":\"{package}: a fix\",\"details\":\"\",\
         \"affected\":[{{\"package\":{{\"ecosystem\":\"Rocky Linux:9\",\"name\":\"{package}\"}},\
         \"ranges\":[{{\"type\":\"ECOSYSTEM\",\"events\":[{{\"introduced\":\"0\"}},{{\"fixed\":\"{fixed}\"}}]}}]}}],\
         \"database_specific\":{{\"kind\":\"security\",\"severity\":\"HIGH\"}}}}\n"
    )
}

/// The advisories that are imported first.
pub fn feed() -> String {
    let mut feed = String::new();
    for name in 0..NAMES {
        for (place, release) in FIXED.iter().enumerate() {
            let number = name * FIXED.len() + place;
            let (id, cve) = (format!("BENCH-{number:05}"), format!("CVE-2025-{}", 500_000 + number));
            let fixed = format!("2.4.1-{release}.el9");
            feed.push_str(&advisory(&id, &cve, &format!("pkg-{name:03}"), &fixed, number as u32 % 336));
        }
    }
    feed.push_str(&advisory("BENCH-COMMON", COMMON_CVE, LIBRARY, "1.0-10.el9", 300));
    feed.push_str(&advisory("BENCH-RARE", RARE_CVE, "rare-tool", "1.0-9.el9", 300));
    feed
}

/// An advisory that arrives later and affects every host.
pub fn late_advisory() -> String {
    advisory("BENCH-LATE", "CVE-2026-1", LIBRARY, "1.0-20.el9", 320)
}
