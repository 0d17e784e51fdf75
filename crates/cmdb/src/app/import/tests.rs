use serde_json::json;

use super::{
    recognise::{Format, read},
    record::{Record, Wanted},
};

fn recognised(text: &str) -> (Format, Vec<Record>) {
    read(text, None).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn wanted<'a>(records: &'a [Record], id: &str) -> &'a Wanted {
    let found = records.iter().filter_map(|record| record.wanted.as_ref().ok()).find(|w| w.id.as_str() == id);
    found.unwrap_or_else(|| panic!("no `{id}` in {records:?}"))
}

#[test]
fn csv_columns_become_tags_and_attributes() {
    let text = "Hostname;Type;env;Tag.Rack;IP Address;port;cores;tags\nWEB-01;Virtual Machine;prod;r7;10.0.0.1;22;8;a=b|c:d\n\"bad host\";host;;;;;;\n";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::Csv);
    let web = wanted(&records, "web-01");
    assert_eq!(json!(web.tags), json!({"env": "prod", "Rack": "r7", "a": "b", "c": "d"}));
    assert_eq!(json!(web.attributes), json!({"address": "10.0.0.1", "port": 22, "cores": "8"}));
    assert_eq!(json!(web.ci_type), "vm");
    assert!(records[1].wanted.is_err());
    assert_eq!(records[1].number, 3);
}

#[test]
fn json_and_ndjson_are_cis_as_created() {
    let (format, records) =
        recognised(r#"[{"id": "a", "type": "host"}, {"id": "b", "type": "host", "x": 1}]"#);
    assert_eq!(format, Format::Json);
    assert!(records[0].wanted.is_ok() && records[1].wanted.is_err());
    let (format, records) =
        recognised("{\"id\": \"a\", \"type\": \"host\"}\n\n{\"id\": \"all\", \"type\": \"host\"}\n");
    assert_eq!(format, Format::Ndjson);
    assert_eq!(records[1].number, 3);
    assert!(records[1].wanted.as_ref().unwrap_err().contains("reserved"));
}

#[test]
fn ini_groups_ranges_and_variables_are_followed() {
    let text = "
mail ansible_port=2222 ansible_password=secret motd='a b'
[env_prod]
web[01:03] ansible_host=10.0.0.9 # the web
db:5022
[special:children]
env_prod
[special:vars]
http_port=80
owner=platform
";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::AnsibleIni);
    assert_eq!(records.len(), 5);
    let web = wanted(&records, "web02");
    assert_eq!(json!(web.tags), json!({"env": "prod", "owner": "platform"}));
    assert_eq!(
        json!(web.attributes),
        json!({"address": "10.0.0.9", "http_port": 80, "inventory_groups": ["special"]})
    );
    assert_eq!(wanted(&records, "db").attributes["port"], 5022);
    let mail = records.iter().find(|record| record.number == 2).unwrap();
    assert_eq!(mail.wanted.as_ref().unwrap().attributes["motd"], "a b");
    assert!(mail.left_out[0].contains("ansible_password"), "{:?}", mail.left_out);
    assert!(!mail.left_out[0].contains("secret"));
}

#[test]
fn yaml_inventories_keep_deeper_groups_stronger() {
    let text = "
all:
  vars: {level: outer, ntp: a}
  children:
    env_dev:
      vars: {level: inner}
      hosts:
        app[a:b]: {ansible_user: ops}
    lonely: {}
  hosts:
    secretive:
      token: !vault |
        $ANSIBLE_VAULT;1.1;AES256
";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::AnsibleYaml);
    let app = wanted(&records, "appb");
    assert_eq!(json!(app.attributes), json!({"level": "inner", "ntp": "a", "user": "ops"}));
    let secretive = records.iter().find(|r| !r.left_out.is_empty()).unwrap();
    assert!(secretive.left_out[0].contains("vaulted"));
}

#[test]
fn groups_in_a_cycle_are_refused() {
    let text = "[a:children]\nb\n[b:children]\na\n[b]\nhost1 x=1\n";
    let error = read(text, Some(Format::AnsibleIni)).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
}

#[test]
fn ansible_json_is_read_without_its_markers() {
    let list = json!({
        "_meta": {"hostvars": {"web-01": {"motd": {"__ansible_unsafe": "{{ x }}"}, "key": {"__ansible_vault": "x"}}}},
        "all": {"children": ["role_web"]},
        "role_web": {"hosts": ["web-01", "web-02"]},
    });
    let (format, records) = recognised(&list.to_string());
    assert_eq!(format, Format::AnsibleJson);
    let web = wanted(&records, "web-01");
    assert_eq!(web.attributes["motd"], "{{ x }}");
    assert_eq!(web.tags["role"], "web");
    assert_eq!(records.len(), 2);
}

#[test]
fn netbox_devices_and_machines_are_distinguished() {
    let export = json!({"count": 2, "results": [
        {"name": "Edge-1", "device_type": {"slug": "r640"}, "role": {"slug": "edge"}, "site": {"slug": "fra"},
         "primary_ip": {"address": "10.1.0.5/24"}, "custom_fields": {"environment": "prod", "u": 2, "vars": "x", "n": null},
         "tags": [{"slug": "tier:gold"}, {"slug": "pci"}]},
        {"name": "vm-1", "vcpus": 2, "cluster": {"name": "c1"}, "platform": {"slug": "debian12"}},
        {"name": null},
    ]});
    let (format, records) = recognised(&export.to_string());
    assert_eq!(format, Format::Netbox);
    let edge = wanted(&records, "edge-1");
    assert_eq!(json!(edge.tags), json!({"env": "prod", "role": "edge", "site": "fra", "tier": "gold"}));
    assert_eq!(json!(edge.attributes), json!({"address": "10.1.0.5", "labels": ["pci"], "u": 2}));
    assert_eq!(json!(wanted(&records, "vm-1").tags), json!({"cluster": "c1", "os": "debian12"}));
    assert!(records[2].wanted.is_err());
}

#[test]
fn what_is_no_list_is_refused_with_its_reason() {
    for text in ["hello", "<xml/>", "{\"a\": 1}", "42", "{\"id\": ", "a: &a [*a]"] {
        assert!(read(text, None).is_err(), "{text} was accepted");
    }
}

#[test]
fn yaml_that_grows_by_its_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", ")));
    }
    text.push_str("all:\n  hosts:\n    web-01: {a: *a11}\n");
    assert!(read(&text, None).is_err());
    assert!(read(&text, Some(Format::AnsibleYaml)).is_err());
}
