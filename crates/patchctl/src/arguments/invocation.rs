//! One command line: what was asked for, and what the output and the hints need to know of it.

use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};
use domain::ids::{CiId, PolicyId};

use super::{Arguments, COLUMNS, LIMIT, SORT, WATCH, command};
use terminal::Listing;

/// A thing that the command line names and that may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Policy(String),
    Host(String),
}

#[derive(Debug)]
pub struct Invocation {
    matches: ArgMatches,
    pub listing: Listing,
    /// Print a list again this often.
    pub watch: Option<Duration>,
    pub named: Vec<Named>,
}

impl Invocation {
    pub fn of(matches: ArgMatches) -> Self {
        let root = command();
        let (mut leaf, mut given, mut path) = (&root, &matches, Vec::new());
        while let Some((name, inner)) = given.subcommand() {
            path.push(name);
            given = inner;
            leaf = leaf.find_subcommand(name).unwrap_or(leaf);
        }
        let listing = Listing {
            command: path.join(" "),
            is_filtered: is_filtered(leaf, given),
            is_dry_run: option(given, "dry_run").copied().unwrap_or(false),
            limit: option(given, LIMIT).copied(),
            sort: option(given, SORT).cloned(),
            columns: all(given, COLUMNS),
        };
        let watch = option::<u64>(given, WATCH).map(|seconds| Duration::from_secs(*seconds));
        let named = named(given);
        Self { listing, watch, named, matches }
    }

    /// The arguments, once more for each time that the command runs.
    pub fn arguments(&self) -> Result<Arguments, clap::Error> {
        Arguments::from_arg_matches(&self.matches)
    }
}

/// `None` also if the command has no such option.
fn option<'a, T: Clone + Send + Sync + 'static>(given: &'a ArgMatches, id: &str) -> Option<&'a T> {
    given.try_get_one(id).ok().flatten()
}

fn all<T: Clone + Send + Sync + 'static>(given: &ArgMatches, id: &str) -> Vec<T> {
    given.try_get_many(id).ok().flatten().into_iter().flatten().cloned().collect()
}

/// Whether an option of this command alone was given: it selects a part of the list.
fn is_filtered(leaf: &Command, given: &ArgMatches) -> bool {
    let selects = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        !arg.is_positional() && !arg.is_global_set() && ![LIMIT, SORT, COLUMNS, WATCH].contains(&id)
    };
    let is_given =
        |arg: &clap::Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    leaf.get_arguments().filter(selects).any(is_given)
}

fn named(given: &ArgMatches) -> Vec<Named> {
    let ids = || given.ids().map(clap::Id::as_str);
    let policies = ids().flat_map(|id| all::<PolicyId>(given, id)).map(|id| Named::Policy(id.to_string()));
    // Customers are named by the same type; they are not hosts.
    let hosts = ids().filter(|id| *id != "customer").flat_map(|id| all::<CiId>(given, id));
    policies.chain(hosts.map(|id| Named::Host(id.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(line: &str) -> Invocation {
        Invocation::of(command().try_get_matches_from(line.split(' ')).unwrap())
    }

    #[test]
    fn options_of_a_list_are_found_in_any_command() {
        let list =
            invocation("patchctl run list --limit 5 --sort -created --columns id,state --watch").listing;
        assert_eq!((list.command.as_str(), list.limit, list.is_filtered), ("run list", Some(5), false));
        assert_eq!(
            (list.sort.as_deref(), list.columns),
            (Some("-created"), vec!["id".to_owned(), "state".to_owned()])
        );
        assert_eq!(invocation("patchctl run list --watch=7").watch, Some(Duration::from_secs(7)));
        assert_eq!(invocation("patchctl run list").watch, None);
        assert_eq!(invocation("patchctl health").listing.limit, None);
        assert_eq!(invocation("patchctl compliance list --sort severity").listing.sort.unwrap(), "severity");
    }

    #[test]
    fn filters_are_options_of_the_command_itself() {
        assert!(invocation("patchctl run list --state failed").listing.is_filtered);
        assert!(!invocation("patchctl run list -o wide --port-base 9000").listing.is_filtered);
        assert!(!invocation("patchctl compliance unfixed web-01").listing.is_filtered);
    }

    #[test]
    fn hosts_and_policies_of_the_command_line_are_known() {
        assert_eq!(invocation("patchctl policy show policy-x").named, [Named::Policy("policy-x".into())]);
        let scan = invocation("patchctl compliance scan --ci web-01 --ci web-02").named;
        assert_eq!(scan, [Named::Host("web-01".into()), Named::Host("web-02".into())]);
    }
}
