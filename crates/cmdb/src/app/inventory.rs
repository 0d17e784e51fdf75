//! Ansible's dynamic inventory. Text of operators is data: it is wrapped so that Ansible never renders it as a template.

use std::collections::{BTreeMap, BTreeSet};

use domain::selector::Tags;
use serde::Serialize;
use serde_json::{Map, Value, json};
use service_kit::{ApiError, ApiResult};
use uuid::Uuid;

use super::App;
use crate::store::{
    graph::{Node, list_hosts},
    inventory::{Groups, Membership, find_membership, insert_membership},
};

const MAX_HOSTS: usize = 100_000;

/// Attributes that describe the connection, and the variables by which Ansible knows them.
const CONNECTION: [(&str, &str); 3] =
    [("address", "ansible_host"), ("port", "ansible_port"), ("user", "ansible_user")];

/// Words of Ansible's plays: a variable so named makes it warn, so the attribute is given as `cmdb_<name>`.
const PLAY_WORDS: &[&str] = &[
    "action",
    "always",
    "any_errors_fatal",
    "args",
    "async",
    "async_val",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "block",
    "changed_when",
    "check_mode",
    "collections",
    "connection",
    "cycler",
    "debugger",
    "delay",
    "delegate_facts",
    "delegate_to",
    "dict",
    "diff",
    "fact_path",
    "failed_when",
    "force_handlers",
    "gather_facts",
    "gather_subset",
    "gather_timeout",
    "handlers",
    "hosts",
    "ignore_errors",
    "ignore_unreachable",
    "joiner",
    "lipsum",
    "local_action",
    "lookup",
    "loop",
    "loop_control",
    "max_fail_percentage",
    "module_defaults",
    "name",
    "namespace",
    "no_log",
    "notify",
    "now",
    "order",
    "poll",
    "post_tasks",
    "pre_tasks",
    "q",
    "query",
    "range",
    "register",
    "remote_user",
    "rescue",
    "retries",
    "roles",
    "run_once",
    "serial",
    "strategy",
    "tags",
    "tasks",
    "throttle",
    "timeout",
    "undef",
    "until",
    "vars_files",
    "vars_prompt",
    "when",
    "with_",
];

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

/// Whether the caller may fix the membership of a run that has none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freezing {
    Allowed,
    Refused,
}

/// Active hosts and VMs that bear `tags`. Under a run id the hosts and groups are those of the first answer given under it,
/// whatever `tags` say later; their variables are of today, and a host decommissioned since is left out.
pub async fn get_ansible_inventory(
    app: &App,
    tags: &Tags,
    run_id: Option<Uuid>,
    freezing: Freezing,
) -> ApiResult<Inventory> {
    let mut transaction = app.pool.begin().await?;
    let frozen = match run_id {
        Some(run_id) => find_membership(&mut transaction, run_id).await?,
        None => None,
    };
    let limit = MAX_HOSTS as i64 + 1;
    let inventory = match (frozen, run_id) {
        (Some(membership), _) => {
            let hosts = list_hosts(&mut transaction, &Tags::new(), Some(&membership.hosts), limit).await?;
            render(hosts, membership.groups)
        }
        (None, run_id) => {
            let hosts = list_hosts(&mut transaction, tags, None, limit).await?;
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
                            "the first answer under a run id fixes the run's hosts, which needs the role `operator`",
                        ));
                    }
                    let ids = hosts.iter().map(|host| host.id.to_string()).collect();
                    let membership = Membership { hosts: ids, groups };
                    insert_membership(&mut transaction, run_id, &membership, app.clock.now()).await?;
                    // Another request under the same run may have been first: its answer stands.
                    let kept = find_membership(&mut transaction, run_id).await?.unwrap_or(membership);
                    let hosts = list_hosts(&mut transaction, &Tags::new(), Some(&kept.hosts), limit).await?;
                    render(hosts, kept.groups)
                }
            }
        }
    };
    transaction.commit().await?;
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
    let hostvars = hosts.into_iter().map(|host| (host.id.to_string(), variables(host))).collect();
    Inventory { meta: Meta { hostvars }, all: Parent { children }, groups }
}

/// One group per tag and value. Names that fall together after cleaning are told apart: a group must never gain hosts
/// because two values look alike.
fn groups_of(hosts: &[Node]) -> Groups {
    let mut by_tag: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for host in hosts {
        for (key, value) in &host.tags {
            by_tag.entry((key, value)).or_default().push(host.id.to_string());
        }
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (key, value) in by_tag.keys() {
        *taken.entry(group_name(key, value)).or_default() += 1;
    }
    let mut groups = Groups::new();
    for ((key, value), members) in by_tag {
        let name = group_name(key, value);
        let is_exact = name == format!("{key}_{value}");
        let name = match taken.get(&name) {
            Some(2..) if !is_exact => format!("{name}_{:08x}", fingerprint(&format!("{key}={value}"))),
            _ => name,
        };
        groups.entry(name).or_default().extend(members);
    }
    for members in groups.values_mut() {
        members.sort_unstable();
        members.dedup();
    }
    groups
}

/// `<tag>_<value>` in the letters a group's name may have. It holds a `_`, so it is never the name of a host.
fn group_name(key: &str, value: &str) -> String {
    let text = format!("{key}_{value}");
    let clean: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    match clean.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{clean}"),
        false => clean,
    }
}

/// FNV-1a: the same on every machine and in every version, which a group's name must be.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn variables(host: Node) -> Value {
    let mut variables = Map::new();
    for (name, value) in host.attributes {
        let name = match CONNECTION.iter().find(|(attribute, _)| *attribute == name) {
            Some((_, variable)) => (*variable).to_owned(),
            None if PLAY_WORDS.contains(&name.as_str()) => format!("cmdb_{name}"),
            None => name,
        };
        variables.insert(name, inert(value));
    }
    if variables.get("driver").is_some_and(|driver| driver["__ansible_unsafe"] == "model") {
        // The inside of a model host is reached from the controller, through the sim-engine's API.
        variables.insert("ansible_connection".to_owned(), "local".into());
    }
    variables.insert("cmdb_type".to_owned(), json!(host.ci_type));
    variables.insert("cmdb_display_name".to_owned(), inert(Value::String(host.name)));
    let tags = host.tags.into_iter().map(|(key, value)| (key, inert(Value::String(value)))).collect();
    variables.insert("cmdb_tags".to_owned(), Value::Object(tags));
    Value::Object(variables)
}

/// The value with every text in it marked as no template.
fn inert(value: Value) -> Value {
    match value {
        Value::String(text) => json!({ "__ansible_unsafe": text }),
        Value::Array(items) => items.into_iter().map(inert).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(key, field)| (key, inert(field))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use api_types::cmdb::CiType;
    use domain::ids::CiId;

    use super::*;

    fn host(id: &str, tags: &[(&str, &str)]) -> Node {
        Node {
            id: CiId::new(id).unwrap(),
            ci_type: CiType::Host,
            name: id.to_owned(),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn values_that_look_alike_after_cleaning_stay_apart() {
        let hosts = [
            host("a", &[("env", "pre-prod")]),
            host("b", &[("env", "pre_prod")]),
            host("c", &[("env", "pre.prod")]),
            host("d", &[("9", "x y")]),
        ];
        let groups = groups_of(&hosts);
        assert_eq!(groups["env_pre_prod"], ["b"]);
        assert_eq!(groups["_9_x_y"], ["d"]);
        assert_eq!(groups.len(), 4, "{groups:?}");
    }

    #[test]
    fn text_is_wrapped_wherever_it_stands() {
        let wrapped = inert(json!({"a": ["{{ x }}", {"b": "y"}], "n": 1}));
        assert_eq!(wrapped["a"][0]["__ansible_unsafe"], "{{ x }}");
        assert_eq!(wrapped["a"][1]["b"]["__ansible_unsafe"], "y");
        assert_eq!(wrapped["n"], 1);
    }
}
