//! The operating system of a host: its tag `os`, in any spelling.

use std::collections::BTreeSet;

use advisories::{OsRelease, os_key};
use domain::{
    ids::CiId,
    selector::{Selector, Tags},
};
use service_kit::{ApiError, ApiResult};

use super::hosts;
use crate::{App, store};

/// Whether a CI has a tag. The tag `os` has a value if both mean the same release.
pub(crate) fn has_tag(tags: &Tags, key: &str, value: &str) -> bool {
    tags.get(key).is_some_and(|found| found == value || (key == "os" && os_key(found) == os_key(value)))
}

/// [`Selector::selects`], for every spelling of the tag `os`.
pub(crate) fn selects(selector: &Selector, id: &CiId, tags: &Tags) -> bool {
    (selector.all || !selector.tags.is_empty() || !selector.ids.is_empty())
        && (selector.ids.is_empty() || selector.ids.contains(id))
        && selector.tags.iter().all(|(key, value)| has_tag(tags, key, value))
}

/// The spellings of a release that hosts have, and the given one.
pub(crate) async fn list_spellings(app: &App, os: &str) -> ApiResult<BTreeSet<String>> {
    let wanted = os_key(os);
    let tags = store::host_list::list_os_tags(&mut *app.pool.acquire().await?).await?;
    let mut spellings: BTreeSet<String> = tags.into_iter().filter(|tag| os_key(tag) == wanted).collect();
    spellings.insert(os.to_owned());
    Ok(spellings)
}

/// The release that the CMDB names for a host, for an inventory that does not name it.
pub(crate) async fn get_release(app: &App, ci_id: &CiId) -> ApiResult<OsRelease> {
    let ids = [ci_id.to_string()];
    let mut tags = store::hosts::find_tags(&mut *app.pool.acquire().await?, &ids).await?;
    if tags.is_empty() {
        // It may be new in the CMDB since the last synchronisation.
        hosts::try_synchronise(app).await;
        tags = store::hosts::find_tags(&mut *app.pool.acquire().await?, &ids).await?;
    }
    let os = tags.get(ci_id.as_str()).and_then(|tags| tags.get("os")).ok_or_else(|| {
        ApiError::invalid("ci_id", format!("there is no managed host `{ci_id}` in the CMDB"))
    })?;
    os.parse().map_err(|error| {
        ApiError::invalid(
            "os",
            format!("must be given, because the tag `os` of `{ci_id}` does not help: {error}"),
        )
    })
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
