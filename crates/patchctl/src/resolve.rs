//! Short ids become whole ones here, and only here: through the lists of the platform, of which the newest part is read.

use std::fmt::Display;

use api_client::ClientError;
use api_types::patch::RunSummary;
use domain::ids::{ChangeId, RunId};
use uuid::Uuid;

use crate::arguments::short_id::{IncidentId, ProblemId, ShortId};
use crate::connect::Connection;
use terminal::Failure;
use terminal::clean;

/// Items of a list that are looked at.
const LOOKED_AT: usize = 1000;
/// Candidates that an ambiguous id lists.
const SHOWN: usize = 10;

/// One thing that an id may mean, and what helps to tell it from others.
struct Candidate<T> {
    id: T,
    about: String,
}

fn candidates<I, T>(items: Vec<I>, of: impl Fn(I) -> (T, String)) -> Vec<Candidate<T>> {
    items.into_iter().map(of).map(|(id, about)| Candidate { id, about: clean(&about) }).collect()
}

impl Connection {
    pub async fn run_id(&self, given: ShortId<RunId>) -> Result<RunId, Failure> {
        pick(given, "run", async || {
            let runs = self.patch().list_runs(&[], LOOKED_AT).await?;
            Ok(candidates(runs, |run: RunSummary| (run.id, about_run(&run))))
        })
        .await
    }

    /// The run that was named, or else the newest one that is open.
    pub async fn open_run(&self, given: Option<ShortId<RunId>>) -> Result<RunId, Failure> {
        if let Some(given) = given {
            return self.run_id(given).await;
        }
        let runs = self.patch().list_runs(&[], LOOKED_AT).await?;
        let open = runs.iter().filter(|run| !run.state.is_final()).max_by_key(|run| run.created_at);
        open.map(|run| run.id).ok_or_else(|| {
            Failure::new("no run is open")
                .hint("`patchctl run show @latest` shows the last one, and `patchctl run start` starts one")
        })
    }

    pub async fn change_id(&self, given: ShortId<ChangeId>) -> Result<ChangeId, Failure> {
        pick(given, "change", async || {
            let changes = self.itsm().list_changes(&[], LOOKED_AT).await?;
            Ok(candidates(changes, |change| (change.id, change.short_description)))
        })
        .await
    }

    pub async fn incident_id(&self, given: ShortId<IncidentId>) -> Result<String, Failure> {
        Ok(pick(given, "incident", async || {
            let incidents = self.itsm().list_incidents(&[], LOOKED_AT).await?;
            Ok(candidates(incidents, |incident| (IncidentId(incident.id), incident.short_description)))
        })
        .await?
        .0)
    }

    pub async fn problem_id(&self, given: ShortId<ProblemId>) -> Result<String, Failure> {
        Ok(pick(given, "problem", async || {
            let problems = self.itsm().list_problems(&[], LOOKED_AT).await?;
            Ok(candidates(problems, |problem| (ProblemId(problem.id), problem.short_description)))
        })
        .await?
        .0)
    }

    pub async fn notification_id(&self, given: ShortId<Uuid>) -> Result<Uuid, Failure> {
        pick(given, "notification", async || {
            let sent = self.itsm().list_notifications(&[], LOOKED_AT).await?;
            Ok(candidates(sent, |one| (one.id, format!("{}: {}", one.recipient, one.subject))))
        })
        .await
    }

    pub async fn exception_id(&self, given: ShortId<Uuid>) -> Result<Uuid, Failure> {
        pick(given, "exception", async || {
            let exceptions = self.patch().list_exceptions(&[], LOOKED_AT).await?;
            Ok(candidates(exceptions, |one| (one.id, one.reason)))
        })
        .await
    }

    pub async fn calendar_id(&self, given: ShortId<Uuid>) -> Result<Uuid, Failure> {
        pick(given, "calendar", async || {
            let calendars = self.patch().list_calendars(LOOKED_AT).await?;
            Ok(candidates(calendars, |one| (one.id, one.name)))
        })
        .await
    }

    pub async fn token_id(&self, given: ShortId<Uuid>) -> Result<Uuid, Failure> {
        pick(given, "token", async || {
            let tokens = self.access().list_tokens(LOOKED_AT).await?;
            Ok(candidates(tokens, |one| (one.id, one.subject.to_string())))
        })
        .await
    }

    pub async fn proposal_id(&self, given: ShortId<Uuid>) -> Result<Uuid, Failure> {
        pick(given, "proposal", async || {
            let proposals = self.access().list_proposals(&[], LOOKED_AT).await?;
            Ok(candidates(proposals, |one| (one.id, format!("proposed by {}", one.proposed_by))))
        })
        .await
    }

    pub async fn webhook_id(&self, given: ShortId<Uuid>) -> Result<Uuid, Failure> {
        pick(given, "webhook", async || {
            let receivers = self.access().list_webhooks(LOOKED_AT).await?;
            Ok(candidates(receivers, |one| (one.id, one.url)))
        })
        .await
    }
}

pub fn about_run(run: &RunSummary) -> String {
    let of = run.policy_id.as_ref().map(ToString::to_string).or_else(|| run.advisory.clone());
    let created = run.created_at.format("%Y-%m-%d %H:%M");
    format!("{} {} {created}", run.state.name(), of.unwrap_or_default())
}

/// The list is read only if the id is not whole.
async fn pick<T: Display + Clone>(
    given: ShortId<T>,
    what: &str,
    list: impl AsyncFnOnce() -> Result<Vec<Candidate<T>>, ClientError>,
) -> Result<T, Failure> {
    match given {
        ShortId::Whole(id) => Ok(id),
        ShortId::Latest => latest(&list().await?, what),
        ShortId::Part(part) => only(&list().await?, &part, what),
    }
}

/// Ids are given out in the order of their text.
fn latest<T: Display + Clone>(candidates: &[Candidate<T>], what: &str) -> Result<T, Failure> {
    let newest = candidates.iter().max_by_key(|one| one.id.to_string());
    newest
        .map(|one| one.id.clone())
        .ok_or_else(|| Failure::new(format!("there is no {what} yet, so none is the latest")))
}

fn only<T: Display + Clone>(candidates: &[Candidate<T>], part: &str, what: &str) -> Result<T, Failure> {
    let fits = |id: &str| id.starts_with(part) || id.ends_with(part);
    let found: Vec<&Candidate<T>> = candidates.iter().filter(|one| fits(&one.id.to_string())).collect();
    match found[..] {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::new(format!(
            "no {what} of the newest {LOOKED_AT} has an id that starts or ends with `{part}`"
        ))
        .hint(format!("`patchctl {what} list` shows them"))),
        _ => {
            let shown = found.iter().take(SHOWN).map(|one| format!("{}  {}", one.id, one.about));
            let more = found.len().saturating_sub(SHOWN);
            let more = (more > 0).then(|| format!("and {more} more"));
            Err(Failure::new(format!("`{part}` is the id of {} {what}s", found.len()))
                .details(shown.chain(more))
                .hint("write more characters of the one that you mean, from its start or its end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(ids: &[&str]) -> Vec<Candidate<String>> {
        ids.iter().map(|id| Candidate { id: (*id).to_owned(), about: format!("about {id}") }).collect()
    }

    #[test]
    fn part_of_one_id_is_that_id() {
        let all = runs(&["018f-aaaa-0001", "018f-bbbb-0002"]);
        assert_eq!(only(&all, "018f-b", "run").unwrap(), "018f-bbbb-0002");
        assert_eq!(only(&all, "0001", "run").unwrap(), "018f-aaaa-0001");
        assert_eq!(latest(&all, "run").unwrap(), "018f-bbbb-0002");
    }

    #[test]
    fn ambiguous_part_lists_what_it_may_mean() {
        let all = runs(&["018f-aaaa-0001", "018f-bbbb-0002"]);
        let failure = only(&all, "018f", "run").unwrap_err();
        assert_eq!(failure.to_string(), "`018f` is the id of 2 runs");
        assert_eq!(
            failure.listed(),
            ["018f-aaaa-0001  about 018f-aaaa-0001", "018f-bbbb-0002  about 018f-bbbb-0002"]
        );
        let many: Vec<String> = (0..30).map(|number| format!("018f-{number:04}")).collect();
        let many = runs(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let failure = only(&many, "018f", "run").unwrap_err();
        assert_eq!((failure.listed().len(), failure.listed().last().unwrap().as_str()), (11, "and 20 more"));
    }

    #[test]
    fn part_of_no_id_says_where_it_looked() {
        let failure = only(&runs(&["018f-aaaa-0001"]), "ffff", "run").unwrap_err();
        assert!(failure.to_string().contains("newest 1000"), "{failure}");
        assert!(latest(&runs(&[]), "run").is_err());
    }
}
