//! The parts of a CSAF document that are read. Real documents break the standard in many places, so nothing is required
//! except that present fields have the right type.

use serde::Deserialize;

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
}

#[derive(Deserialize)]
pub(super) struct Branch {
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

type ProductIds = List<String, 500_000>;

#[derive(Default, Deserialize)]
pub(super) struct ProductStatus {
    #[serde(default)]
    pub first_fixed: ProductIds,
    #[serde(default)]
    pub fixed: ProductIds,
    #[serde(default)]
    pub first_affected: ProductIds,
    #[serde(default)]
    pub known_affected: ProductIds,
    #[serde(default)]
    pub known_not_affected: ProductIds,
    #[serde(default)]
    pub under_investigation: ProductIds,
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
}
