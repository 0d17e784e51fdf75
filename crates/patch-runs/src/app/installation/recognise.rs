//! Whether a database is the one that a work folder has worked with.

use std::path::Path;

use api_types::patch::HoldCause;
use uuid::Uuid;

use super::identity_file::Identity;

/// What the database says.
#[derive(Debug, Clone)]
pub(crate) struct Stored<'a> {
    pub epoch: i64,
    /// Where the identity was kept when it was made or confirmed.
    pub place: Option<&'a str>,
    /// The folders that it knows, each with its count.
    pub folders: &'a [(Uuid, i64)],
}

/// What this replica makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recognised {
    Same,
    /// A new folder. It joins as soon as another replica shows that it works with this database.
    Joins,
    Differs {
        cause: HoldCause,
        detail: String,
    },
}

/// Compares what the database says with where it is now, and with what the folder at `path` knows.
pub(crate) fn recognise(
    stored: &Stored<'_>,
    place: &str,
    known: Option<&Identity>,
    path: &Path,
) -> Recognised {
    let differs = |cause, detail: String| Recognised::Differs { cause, detail };
    if let Some(was) = stored.place.filter(|was| *was != place) {
        let detail = format!("the database was made in {was} (cluster/database/table) and is in {place} now");
        return differs(HoldCause::Moved, detail);
    }
    let Some(known) = known else {
        return if stored.folders.is_empty() { Recognised::Same } else { Recognised::Joins };
    };
    if known.epoch > stored.epoch {
        let detail = format!(
            "the work folder has seen epoch {}, the database is in epoch {}",
            known.epoch, stored.epoch
        );
        return differs(HoldCause::Older, detail);
    }
    if known.path != path {
        let detail = format!("the work folder was {}, and is {} now", known.path.display(), path.display());
        return differs(HoldCause::CopiedFolder, detail);
    }
    // In an earlier epoch, the folder was not there when a restore was confirmed.
    let count = stored.folders.iter().find(|(folder, _)| *folder == known.folder).map(|(_, count)| *count);
    match count {
        _ if known.epoch < stored.epoch => Recognised::Same,
        Some(count) if count >= known.count => Recognised::Same,
        count => {
            let count = count.map_or("does not know the folder".to_owned(), |count| format!("is at {count}"));
            differs(
                HoldCause::Older,
                format!("the work folder has seen count {}, the database {count}", known.count),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/srv/patch/work";

    fn known(epoch: i64, count: i64) -> Identity {
        Identity { installation: Uuid::nil(), folder: Uuid::nil(), epoch, count, path: HERE.into() }
    }

    fn cause(
        epoch: i64,
        folders: &[(Uuid, i64)],
        place: &str,
        known: Option<Identity>,
    ) -> Result<Recognised, HoldCause> {
        let stored = Stored { epoch, place: Some("1/2/3"), folders };
        match recognise(&stored, place, known.as_ref(), Path::new(HERE)) {
            Recognised::Differs { cause, .. } => Err(cause),
            other => Ok(other),
        }
    }

    #[test]
    fn restart_is_recognised_as_the_same() {
        // The process may have ended between its commit and its file.
        for count in [7, 8] {
            assert_eq!(cause(1, &[(Uuid::nil(), count)], "1/2/3", Some(known(1, 7))), Ok(Recognised::Same));
        }
    }

    #[test]
    fn older_database_is_recognised() {
        assert_eq!(cause(1, &[(Uuid::nil(), 6)], "1/2/3", Some(known(1, 7))), Err(HoldCause::Older));
        assert_eq!(cause(1, &[], "1/2/3", Some(known(1, 7))), Err(HoldCause::Older));
        assert_eq!(cause(1, &[(Uuid::nil(), 99)], "1/2/3", Some(known(2, 7))), Err(HoldCause::Older));
    }

    #[test]
    fn database_in_another_place_is_recognised_with_and_without_a_folder() {
        let folders = [(Uuid::nil(), 7)];
        assert_eq!(cause(1, &folders, "9/2/3", Some(known(1, 7))), Err(HoldCause::Moved));
        assert_eq!(cause(1, &folders, "1/2/4", None), Err(HoldCause::Moved));
        assert_eq!(cause(1, &[], "1/5/3", None), Err(HoldCause::Moved));
    }

    #[test]
    fn new_folder_joins_if_there_are_others() {
        assert_eq!(cause(1, &[(Uuid::nil(), 7)], "1/2/3", None), Ok(Recognised::Joins));
        assert_eq!(cause(1, &[], "1/2/3", None), Ok(Recognised::Same));
    }

    #[test]
    fn folder_that_missed_a_confirmation_is_not_a_restore() {
        assert_eq!(cause(2, &[], "1/2/3", Some(known(1, 70))), Ok(Recognised::Same));
    }

    #[test]
    fn copied_folder_is_recognised() {
        let copy = Identity { path: "/srv/copy/work".into(), ..known(1, 7) };
        assert_eq!(cause(1, &[(Uuid::nil(), 7)], "1/2/3", Some(copy)), Err(HoldCause::CopiedFolder));
    }
}
