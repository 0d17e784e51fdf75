//! One `<update>` as written in the file.

use crate::feed::is_cve_id;

#[derive(Default)]
pub(super) struct Update {
    /// The publisher's address.
    pub from: Option<String>,
    pub status: Option<String>,
    pub kind: Option<String>,
    pub id: Option<String>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub description: Option<String>,
    pub severity: Option<String>,
    pub release: Option<String>,
    pub issued: Option<String>,
    pub updated: Option<String>,
    pub references: Vec<UpdateReference>,
    pub collections: Vec<Collection>,
}

#[derive(Default)]
pub(super) struct UpdateReference {
    pub href: String,
    pub id: String,
    pub kind: String,
}

/// The packages of one repository, or of one module in it.
#[derive(Default)]
pub(super) struct Collection {
    pub name: String,
    pub module: Option<(String, String)>,
    pub packages: Vec<UpdatePackage>,
}

#[derive(Default)]
pub(super) struct UpdatePackage {
    pub name: String,
    pub epoch: String,
    pub version: String,
    pub release: String,
    pub arch: String,
}

type Attributes = Vec<(String, String)>;

fn take(attributes: &mut Attributes, name: &str) -> Option<String> {
    attributes.iter_mut().find(|(key, _)| key == name).map(|(_, value)| std::mem::take(value))
}

impl Update {
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        let mut attributes = attributes.to_vec();
        Self {
            from: take(&mut attributes, "from"),
            status: take(&mut attributes, "status"),
            kind: take(&mut attributes, "type"),
            ..Self::default()
        }
    }

    pub(super) fn package_count(&self) -> usize {
        self.collections.last().map_or(0, |collection| collection.packages.len())
    }

    pub(super) fn start(&mut self, name: &str, mut attributes: Attributes) {
        match name {
            "issued" => self.issued = take(&mut attributes, "date"),
            "updated" => self.updated = take(&mut attributes, "date"),
            "reference" => self.references.push(UpdateReference {
                href: take(&mut attributes, "href").unwrap_or_default(),
                id: take(&mut attributes, "id").unwrap_or_default(),
                kind: take(&mut attributes, "type").unwrap_or_default(),
            }),
            "collection" => self.collections.push(Collection {
                name: take(&mut attributes, "short").unwrap_or_default(),
                ..Collection::default()
            }),
            "module" => {
                let module = take(&mut attributes, "name").zip(take(&mut attributes, "stream"));
                self.collection().module = module;
            }
            "package" => {
                let mut word = |name| take(&mut attributes, name).unwrap_or_default();
                let package = UpdatePackage {
                    name: word("name"),
                    epoch: word("epoch"),
                    version: word("version"),
                    release: word("release"),
                    arch: word("arch"),
                };
                self.collection().packages.push(package);
            }
            _ => {}
        }
    }

    /// An element ends that had this text directly in it.
    pub(super) fn end(&mut self, name: &str, parent: &str, text: String) {
        let text = text.trim();
        let given = || (!text.is_empty()).then(|| text.to_owned());
        match (parent, name) {
            ("update", "id") => self.id = given(),
            ("update", "title") => self.title = given(),
            ("update", "summary") => self.summary = given(),
            ("update", "description") => self.description = given(),
            ("update", "severity") => self.severity = given(),
            ("update", "release") => self.release = given(),
            // Some write the time as the element's text.
            ("update", "issued") => self.issued = self.issued.take().or_else(given),
            ("update", "updated") => self.updated = self.updated.take().or_else(given),
            ("collection", "name") if self.collection().name.is_empty() => {
                self.collection().name = text.to_owned()
            }
            _ => {}
        }
    }

    /// The current collection; packages outside of any get one.
    fn collection(&mut self) -> &mut Collection {
        if self.collections.is_empty() {
            self.collections.push(Collection::default());
        }
        let last = self.collections.len() - 1;
        &mut self.collections[last]
    }

    /// CVEs are references of the type `cve`; some name them only in a title.
    pub(super) fn cves(&self) -> Vec<String> {
        let mut cves: Vec<String> = self
            .references
            .iter()
            .map(|reference| &reference.id)
            .filter(|id| is_cve_id(id))
            .cloned()
            .collect();
        cves.sort_unstable();
        cves.dedup();
        cves
    }
}
