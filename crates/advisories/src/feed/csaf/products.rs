//! From the ids of a document's products to packages of OS releases.
//!
//! A status names products, which are mostly relationships: this build as a component of that repository. The package URL
//! of a build identifies it, or else its name; the CPE of a repository identifies its product, or else its name. Builds
//! of a module are children of the module, which is a child of the repository.

use std::collections::HashMap;

use crate::module_stream::ModuleStream;
use crate::os::{OsRelease, from_cpe, from_product_name};
use crate::purl::PackageUrl;
use crate::version::Nevra;

use super::document::{Branch, Product, ProductTree};

/// Relationships of relationships of real documents go three deep.
const MAX_DEPTH: usize = 8;

/// The meaning of a product id, as far as the document defines it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Component {
    pub os: Option<OsRelease>,
    pub package: Option<String>,
    /// Absent for all builds of the package.
    pub version: Option<String>,
    pub arch: Option<String>,
    pub module: Option<ModuleStream>,
}

impl Component {
    fn or(self, other: Self) -> Self {
        let named = self.package.is_some();
        Self {
            os: self.os.or(other.os),
            version: if named { self.version } else { other.version },
            arch: if named { self.arch } else { other.arch },
            package: self.package.or(other.package),
            module: self.module.or(other.module),
        }
    }
}

#[derive(Default)]
pub(super) struct Products {
    components: HashMap<String, Component>,
    /// Each product id with its meaning and its parent.
    relationships: HashMap<String, (String, String)>,
}

impl Products {
    pub(super) fn new(tree: ProductTree) -> Self {
        let mut products = Self::default();
        for product in tree.full_product_names.0 {
            products.add(product);
        }
        for branch in tree.branches.0 {
            products.add_branch(branch);
        }
        for relationship in tree.relationships.0 {
            let ends = (relationship.product_reference, relationship.relates_to_product_reference);
            products.relationships.insert(relationship.full_product_name.product_id, ends);
        }
        products
    }

    /// The JSON parser limits the depth of branches.
    fn add_branch(&mut self, branch: Branch) {
        if let Some(product) = branch.product {
            self.add(product);
        }
        for inner in branch.branches.0 {
            self.add_branch(inner);
        }
    }

    fn add(&mut self, product: Product) {
        let component = component(&product);
        self.components.insert(product.product_id, component);
    }

    /// `None` for ids that the document does not define.
    pub(super) fn resolve(&self, product_id: &str) -> Option<Component> {
        self.resolve_within(product_id, MAX_DEPTH)
    }

    fn resolve_within(&self, product_id: &str, depth: usize) -> Option<Component> {
        if let Some(component) = self.components.get(product_id) {
            return Some(component.clone());
        }
        let (part, whole) = self.relationships.get(product_id)?;
        let depth = depth.checked_sub(1)?;
        let part = self.resolve_within(part, depth);
        let whole = self.resolve_within(whole, depth);
        match (part, whole) {
            (Some(part), Some(whole)) => Some(part.or(whole)),
            (part, whole) => part.or(whole),
        }
    }
}

fn component(product: &Product) -> Component {
    let helper = product.product_identification_helper.as_ref();
    let purl = helper.and_then(|helper| helper.purl.as_ref().or(helper.purls.0.first()));
    if let Some(purl) = purl.and_then(|purl| purl.parse::<PackageUrl>().ok()) {
        return of_purl(&purl, product);
    }
    let cpe = helper.and_then(|helper| helper.cpe.as_deref());
    let os = cpe.and_then(from_cpe).or_else(|| from_product_name(&product.name));
    if os.is_some() || cpe.is_some() {
        return Component { os, ..Component::default() };
    }
    of_full_name(&product.product_id)
}

/// Package URLs wrongly omit the epoch; the product's id has it.
fn of_purl(purl: &PackageUrl, product: &Product) -> Component {
    let module = purl.qualifier("rpmmod").and_then(|label| label.parse().ok());
    match purl.kind.as_str() {
        "rpm" => {}
        "rpmmod" => {
            // The module itself: its version begins with the stream.
            let stream = purl.version.as_deref().and_then(|version| version.split(':').next());
            let module = stream.and_then(|stream| format!("{}:{stream}", purl.name).parse().ok());
            return Component { module, ..Component::default() };
        }
        "deb" => {
            return Component {
                package: Some(purl.name.clone()),
                version: purl.version.clone(),
                arch: purl.qualifier("arch").map(str::to_owned),
                ..Component::default()
            };
        }
        _ => return Component::default(),
    }
    let named = of_full_name(&product.product_id);
    let is_same = named.package.as_deref() == Some(purl.name.as_str());
    Component {
        version: match purl.rpm_version() {
            Some(version) if !version.contains(':') && is_same => named.version.or(Some(version)),
            other => other,
        },
        package: Some(purl.name.clone()),
        arch: purl.qualifier("arch").map(str::to_owned),
        module: module.or(named.module),
        os: None,
    }
}

/// `openssl-1:3.0.7-27.el9.x86_64`, and with its module `redis-0:6.2.17-1.module+el8.x86_64::redis:6`.
fn of_full_name(text: &str) -> Component {
    let (text, module) = match text.split_once("::") {
        Some((text, label)) => (text, label.parse().ok()),
        None => (text, None),
    };
    let parts = Nevra::parse(text);
    // Other ids have hyphens too: without an architecture it is not a build.
    match (parts.name, parts.arch) {
        (Some(name), Some(arch)) => Component {
            package: Some(name.to_owned()),
            version: Some(without_zero_epoch(parts.evr)),
            arch: Some(arch.to_owned()),
            module,
            os: None,
        },
        _ => Component::default(),
    }
}

/// Some write an epoch of 0, others omit it.
fn without_zero_epoch(version: &str) -> String {
    version.strip_prefix("0:").unwrap_or(version).to_owned()
}
