//! The tag `os`, which names a release in any spelling.

use advisories::os_key;
use domain::{
    ids::CiId,
    selector::{Selector, Tags},
};

/// Whether a CI has a tag. The tag `os` has a value if both mean the same release.
pub(crate) fn has_tag(tags: &Tags, key: &str, value: &str) -> bool {
    tags.get(key).is_some_and(|found| found == value || (key == "os" && os_key(found) == os_key(value)))
}

/// [`Selector::selects`], for every spelling of the tag `os`.
pub fn selects(selector: &Selector, id: &CiId, tags: &Tags) -> bool {
    (selector.all || !selector.tags.is_empty() || !selector.ids.is_empty())
        && (selector.ids.is_empty() || selector.ids.contains(id))
        && selector.tags.iter().all(|(key, value)| has_tag(tags, key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_of_the_operating_system_has_many_spellings() {
        let tags = Tags::from(
            [("os", "Rocky Linux 9.4"), ("env", "prod")].map(|(key, value)| (key.into(), value.into())),
        );
        assert!(has_tag(&tags, "os", "rocky:9") && has_tag(&tags, "os", "Rocky Linux 9.4"));
        assert!(
            !has_tag(&tags, "os", "rhel:9")
                && !has_tag(&tags, "env", "PROD")
                && !has_tag(&tags, "tier", "web")
        );
        let selector = Selector::by_tags(Tags::from([("os".to_owned(), "rocky9".to_owned())]));
        assert!(selects(&selector, &CiId::new("web-1").unwrap(), &tags));
        assert!(!selects(&Selector::default(), &CiId::new("web-1").unwrap(), &tags));
    }
}
