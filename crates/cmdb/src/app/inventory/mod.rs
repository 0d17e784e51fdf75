//! Ansible's dynamic inventory. Text of operators is data: it is wrapped so that Ansible never renders it as a template.

mod groups;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use domain::selector::Tags;
use serde::Serialize;
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use uuid::Uuid;

use groups::groups_of;
use variables::variables_of;

use super::os_tag;
use crate::{
    state::App,
    store::{
        cis::TagFilter,
        graph::{Node, list_hosts},
        inventory::{Groups, Membership, find_membership, insert_membership},
    },
};

const MAX_HOSTS: usize = 100_000;

/// What `ansible-inventory --list` reads.
#[derive(Debug, Serialize)]
pub struct Inventory {
    #[serde(rename = "_meta")]
    meta: Meta,
    all: Parent,
    #[serde(flatten)]
    groups: BTreeMap<String, Members>,
}

#[derive(Debug, Serialize)]
struct Meta {
    hostvars: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize)]
struct Parent {
    children: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Members {
    hosts: Vec<String>,
}

/// Whether the caller may set the membership of a run that has none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezing {
    Allowed,
    Refused,
}

/// Active hosts and VMs with `tags`. Under a run id, the hosts and groups are those of the first answer for it,
/// whatever the later `tags`; their variables are current, and a host decommissioned since is omitted.
pub async fn get_ansible_inventory(
    app: &App,
    tags: &Tags,
    run_id: Option<Uuid>,
    freezing: Freezing,
) -> ApiResult<Inventory> {
    let mut tx = app.pool.begin().await?;
    let frozen = match run_id {
        Some(run_id) => find_membership(&mut tx, run_id).await?,
        None => None,
    };
    let limit = MAX_HOSTS as i64 + 1;
    let inventory = match (frozen, run_id) {
        (Some(membership), _) => {
            let hosts = list_hosts(&mut tx, &TagFilter::default(), Some(&membership.hosts), limit).await?;
            render(hosts, membership.groups)
        }
        (None, run_id) => {
            let having = os_tag::by_release(&mut tx, tags).await?;
            let hosts = list_hosts(&mut tx, &having, None, limit).await?;
            if hosts.len() > MAX_HOSTS {
                return Err(ApiError::invalid(
                    "tag",
                    format!("selects more than {MAX_HOSTS} hosts; select fewer"),
                ));
            }
            let groups = groups_of(&hosts);
            match run_id {
                None => render(hosts, groups),
                Some(run_id) => {
                    if freezing == Freezing::Refused {
                        return Err(ApiError::forbidden(
                            "the first answer for a run id sets the run's hosts, which needs the role `operator`",
                        ));
                    }
                    let ids = hosts.iter().map(|host| host.id.to_string()).collect();
                    let membership = Membership { hosts: ids, groups };
                    insert_membership(&mut tx, run_id, &membership, app.clock.now()).await?;
                    // Another request for the same run may have been first: its answer counts.
                    let kept = find_membership(&mut tx, run_id).await?.unwrap_or(membership);
                    let hosts = list_hosts(&mut tx, &TagFilter::default(), Some(&kept.hosts), limit).await?;
                    render(hosts, kept.groups)
                }
            }
        }
    };
    tx.commit().await?;
    Ok(inventory)
}

fn render(hosts: Vec<Node>, groups: Groups) -> Inventory {
    let present: BTreeSet<&str> = hosts.iter().map(|host| host.id.as_str()).collect();
    let mut groups: BTreeMap<String, Members> = groups
        .into_iter()
        .map(|(name, mut members)| {
            members.retain(|host| present.contains(host.as_str()));
            (name, Members { hosts: members })
        })
        .collect();
    let grouped: BTreeSet<&str> =
        groups.values().flat_map(|group| group.hosts.iter().map(String::as_str)).collect();
    let ungrouped: Vec<String> =
        present.iter().filter(|host| !grouped.contains(*host)).map(|host| (*host).to_owned()).collect();
    let mut children: Vec<String> = groups.keys().cloned().collect();
    children.push("ungrouped".to_owned());
    groups.insert("ungrouped".to_owned(), Members { hosts: ungrouped });
    let hostvars = hosts.into_iter().map(|host| (host.id.to_string(), variables_of(host))).collect();
    Inventory { meta: Meta { hostvars }, all: Parent { children }, groups }
}
