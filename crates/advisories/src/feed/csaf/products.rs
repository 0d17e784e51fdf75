//! From the ids of a document's products to packages of OS releases.
//!
//! A status names products, which are mostly relationships: this build as a component of that repository. The package URL
//! of a build identifies it, or else its name; the CPE of a repository identifies its product, or else its name. Builds
//! of a module are children of the module, which is a child of the repository.

use std::collections::HashMap;

use crate::feed::text::shown;
use crate::module_stream::ModuleStream;
use crate::os::{OsRelease, from_cpe, from_product_name};
use crate::purl::PackageUrl;
use crate::vers::VersionRange;
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
    /// The builds, where the document names a range of them.
    pub range: Option<VersionRange>,
    pub arch: Option<String>,
    pub module: Option<ModuleStream>,
}

impl Component {
    fn or(self, other: Self) -> Self {
        let named = self.package.is_some();
        Self {
            os: self.os.or(other.os),
            version: if named { self.version } else { other.version },
            range: if named { self.range } else { other.range },
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
    groups: HashMap<String, Vec<String>>,
    /// What the tree contains and cannot be read, or what breaks the standard.
    pub faults: Vec<String>,
}

impl Products {
    pub(super) fn new(tree: ProductTree) -> Self {
        let mut products = Self::default();
        for product in tree.full_product_names.0 {
            products.add(product);
        }
        for branch in tree.branches.0 {
            products.add_branch(branch, "");
        }
        for relationship in tree.relationships.0 {
            let ends = (relationship.product_reference, relationship.relates_to_product_reference);
            let id = relationship.full_product_name.product_id;
            if products.components.contains_key(&id)
                || products.relationships.insert(id.clone(), ends).is_some()
            {
                products.repeated(&id);
            }
        }
        for group in tree.product_groups.0 {
            products.groups.insert(group.group_id, group.product_ids.0);
        }
        products
    }

    /// `named` is the product that the branches above name. The JSON parser limits the depth of branches.
    fn add_branch(&mut self, branch: Branch, named: &str) {
        let category = branch.category.as_deref().unwrap_or_default();
        if let Some(product) = branch.product {
            if category == "product_version_range" {
                self.add_range(product, &branch.name, named);
            } else {
                self.add(product);
            }
        }
        let named = if category == "product_name" { branch.name.as_str() } else { named };
        for inner in branch.branches.0 {
            self.add_branch(inner, named);
        }
    }

    fn add(&mut self, product: Product) {
        let component = component(&product);
        self.define(product.product_id, component);
    }

    /// The branch's name is the range, and the package is that of the package URL, or else the product above.
    fn add_range(&mut self, product: Product, range: &str, named: &str) {
        let mut found = component(&product);
        found.package = found.package.or_else(|| (!named.is_empty()).then(|| named.to_owned()));
        match range.parse() {
            Ok(range) => found.range = Some(range),
            Err(error) => {
                self.faults.push(format!("{error}; `{}` is not matched", shown(&product.product_id)));
                // Without the range it would mean all versions.
                found = Component::default();
            }
        }
        self.define(product.product_id, found);
    }

    fn define(&mut self, product_id: String, component: Component) {
        if self.components.get(&product_id).is_some_and(|known| *known != component) {
            self.repeated(&product_id);
        }
        self.components.insert(product_id, component);
    }

    fn repeated(&mut self, product_id: &str) {
        self.faults
            .push(format!("its product tree defines {:?} more than once (CSAF 6.1.2)", shown(product_id)));
    }

    /// The products of groups; the names of groups that the document does not define.
    pub(super) fn of_groups<'a>(&'a self, groups: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
        let (mut products, mut unknown) = (Vec::new(), Vec::new());
        for group in groups {
            match self.groups.get(group) {
                Some(ids) => products.extend(ids.iter().map(String::as_str)),
                None => unknown.push(group.as_str()),
            }
        }
        (products, unknown)
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
                version: purl.dpkg_version(),
                arch: purl.qualifier("arch").map(str::to_owned),
                os: purl.os(),
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
        os: purl.os(),
        range: None,
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
            ..Component::default()
        },
        _ => Component::default(),
    }
}

/// Some write an epoch of 0, others omit it.
fn without_zero_epoch(version: &str) -> String {
    version.strip_prefix("0:").unwrap_or(version).to_owned()
}
