//! The tag `os` names a release in any spelling, so a filter by it selects every spelling of the same release.

use advisories::os_key;
use domain::selector::Tags;
use sqlx::PgConnection;

use crate::store::{self, cis::TagFilter};

pub async fn by_release(conn: &mut PgConnection, tags: &Tags) -> sqlx::Result<TagFilter> {
    let mut tags = tags.clone();
    let Some(wanted) = tags.remove(OS) else { return Ok(TagFilter { tags, os: None }) };
    let key = os_key(&wanted);
    let mut spellings = store::cis::list_os_tags(conn).await?;
    spellings.retain(|spelling| *spelling == wanted || os_key(spelling) == key);
    Ok(TagFilter { tags, os: Some(spellings) })
}

const OS: &str = "os";
