//! The part of CycloneDX 1.6 that is written here, <https://cyclonedx.org/docs/1.6/json/>.

use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata,
    pub components: Vec<Component>,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    component: Component,
}

#[derive(Debug, Clone, Serialize)]
pub struct Component {
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(rename = "bom-ref")]
    pub reference: String,
    pub name: String,
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
    /// Absent for what no registry has: another package of this name may be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Application,
    Library,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Part of what runs.
    Required,
    /// Used to build it.
    Excluded,
}

#[derive(Debug, Clone, Serialize)]
pub struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum License {
    Expression { expression: String },
    Named { license: Name },
}

#[derive(Debug, Clone, Serialize)]
pub struct Name {
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    #[serde(rename = "ref")]
    pub reference: String,
    pub depends_on: Vec<String>,
}

impl Document {
    pub fn about(subject: Component, components: Vec<Component>, dependencies: Vec<Dependency>) -> Self {
        Self {
            bom_format: "CycloneDX",
            spec_version: "1.6",
            version: 1,
            metadata: Metadata { component: subject },
            components,
            dependencies,
        }
    }
}

impl Component {
    pub fn new(kind: Kind, reference: impl Into<String>, name: &str, version: &str) -> Self {
        Self {
            kind,
            reference: reference.into(),
            name: name.to_owned(),
            version: version.to_owned(),
            scope: None,
            hashes: Vec::new(),
            licenses: Vec::new(),
            purl: None,
        }
    }
}

impl Hash {
    pub fn sha256(hex: &str) -> Self {
        Self { alg: "SHA-256", content: hex.to_owned() }
    }
}

impl License {
    /// `MIT/Apache-2.0` is the old way to write `MIT OR Apache-2.0`.
    pub fn expression(text: &str) -> Self {
        Self::Expression { expression: text.replace('/', " OR ") }
    }

    /// A licence in the words of its package.
    pub fn named(name: &str) -> Self {
        Self::Named { license: Name { name: name.to_owned() } }
    }
}
