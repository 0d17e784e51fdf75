//! The parts of a CSAF document that are read. Real documents break the standard in many places, so nothing is required
//! except that present fields have the right type.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::feed::list::List;

#[derive(Deserialize)]
pub(super) struct Document {
    pub document: Meta,
    pub product_tree: Option<ProductTree>,
    #[serde(default)]
    pub vulnerabilities: List<Vulnerability, 20_000>,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    pub category: Option<String>,
    pub csaf_version: Option<String>,
    pub title: Option<String>,
    pub publisher: Option<Publisher>,
    pub aggregate_severity: Option<Text>,
    pub tracking: Tracking,
    #[serde(default)]
    pub notes: List<Note, 1000>,
    #[serde(default)]
    pub references: List<Link, 20_000>,
}

#[derive(Deserialize)]
pub(super) struct Publisher {
    pub name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Text {
    pub text: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Tracking {
    pub id: String,
    pub status: Option<String>,
    pub initial_release_date: Option<String>,
    pub current_release_date: Option<String>,
    #[serde(default)]
    pub aliases: List<String, 1000>,
}

#[derive(Deserialize)]
pub(super) struct Note {
    pub category: Option<String>,
    pub text: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub category: Option<String>,
    pub summary: Option<String>,
    pub url: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct ProductTree {
    #[serde(default)]
    pub branches: List<Branch, 200_000>,
    #[serde(default)]
    pub full_product_names: List<Product, 200_000>,
    #[serde(default)]
    pub relationships: List<Relationship, 500_000>,
    #[serde(default)]
    pub product_groups: List<ProductGroup, 20_000>,
}

#[derive(Deserialize)]
pub(super) struct ProductGroup {
    pub group_id: String,
    #[serde(default)]
    pub product_ids: ProductIds,
}

#[derive(Deserialize)]
pub(super) struct Branch {
    pub category: Option<String>,
    #[serde(default)]
    pub name: String,
    pub product: Option<Product>,
    #[serde(default)]
    pub branches: List<Branch, 200_000>,
}

#[derive(Deserialize)]
pub(super) struct Product {
    pub product_id: String,
    #[serde(default)]
    pub name: String,
    pub product_identification_helper: Option<Helper>,
}

#[derive(Deserialize)]
pub(super) struct Helper {
    pub cpe: Option<String>,
    pub purl: Option<String>,
    /// Version 2.1 has a list of them.
    #[serde(default)]
    pub purls: List<String, 100>,
}

#[derive(Deserialize)]
pub(super) struct Relationship {
    pub product_reference: String,
    pub relates_to_product_reference: String,
    pub full_product_name: Product,
}

#[derive(Deserialize)]
pub(super) struct Vulnerability {
    pub cve: Option<String>,
    pub title: Option<String>,
    #[serde(default)]
    pub notes: List<Note, 1000>,
    pub product_status: Option<ProductStatus>,
    #[serde(default)]
    pub scores: List<Score, 10_000>,
    /// Replaces `scores` in version 2.1.
    #[serde(default)]
    pub metrics: List<Metric, 10_000>,
    #[serde(default)]
    pub flags: List<Flag, 10_000>,
    #[serde(default)]
    pub threats: List<Threat, 10_000>,
    #[serde(default)]
    pub remediations: List<Remediation, 10_000>,
}

pub(super) type ProductIds = List<String, 500_000>;
pub(super) type GroupIds = List<String, 20_000>;

/// A list of a vulnerability's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    FirstFixed,
    Fixed,
    /// Builds with a fix that the vendor recommends.
    Recommended,
    FirstAffected,
    KnownAffected,
    LastAffected,
    KnownNotAffected,
    UnderInvestigation,
}

impl Status {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "first_fixed" => Self::FirstFixed,
            "fixed" => Self::Fixed,
            "recommended" => Self::Recommended,
            "first_affected" => Self::FirstAffected,
            "known_affected" => Self::KnownAffected,
            "last_affected" => Self::LastAffected,
            "known_not_affected" => Self::KnownNotAffected,
            // Version 2.1 has `unknown` for products of which the vendor says nothing.
            "under_investigation" | "unknown" => Self::UnderInvestigation,
            _ => return None,
        })
    }
}

/// The lists of a vulnerability, in the order of the document.
#[derive(Default)]
pub(super) struct ProductStatus {
    pub lists: Vec<(Status, ProductIds)>,
    /// Names of lists that the standard does not have.
    pub unknown: Vec<String>,
}

impl<'de> Deserialize<'de> for ProductStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StatusVisitor)
    }
}

struct StatusVisitor;

impl<'de> Visitor<'de> for StatusVisitor {
    type Value = ProductStatus;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of product ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ProductStatus, A::Error> {
        let mut status = ProductStatus::default();
        while let Some(name) = map.next_key::<String>()? {
            match Status::named(&name) {
                Some(list) => status.lists.push((list, map.next_value()?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    status.unknown.push(name);
                }
            }
        }
        Ok(status)
    }
}

#[derive(Deserialize)]
pub(super) struct Score {
    pub cvss_v2: Option<Cvss>,
    pub cvss_v3: Option<Cvss>,
    pub cvss_v4: Option<Cvss>,
}

#[derive(Deserialize)]
pub(super) struct Metric {
    pub content: Option<Score>,
}

#[derive(Deserialize)]
pub(super) struct Cvss {
    #[serde(rename = "vectorString")]
    pub vector: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Flag {
    pub label: Option<String>,
    #[serde(default)]
    pub product_ids: ProductIds,
    #[serde(default)]
    pub group_ids: GroupIds,
}

#[derive(Deserialize)]
pub(super) struct Threat {
    pub category: Option<String>,
    pub details: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Remediation {
    pub category: Option<String>,
    pub url: Option<String>,
    #[serde(default)]
    pub product_ids: ProductIds,
    #[serde(default)]
    pub group_ids: GroupIds,
}
