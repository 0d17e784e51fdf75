use super::*;

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
    assert_eq!(mail.wanted().unwrap().attributes["motd"], "a b");
    assert!(mail.left_out[0].contains("ansible_password"), "{:?}", mail.left_out);
    assert!(!mail.left_out[0].contains("secret is"), "{:?}", mail.left_out);
}

#[test]
fn ini_is_read_as_ansible_reads_it() {
    let text = r#"
localhost ansible_connection=local
controller ansible_connection=ansible.builtin.local
[shop] # the shop
Shop_01.example.test ansible_user=first.last ansible_ssh_pass='a#b # c'
shop[a:c].example.test:2022 ansible_user="CORP\\svc" ansible_python_interpreter=/usr/bin/python3.11
[2001:db8::17]:2222 ansible_user=svc@corp.example
templated ansible_host={{ lookup('env', 'X') }} ansible_port=2022
[shop:vars]
resolvers=['192.0.2.53', "192.0.2.54"]
banner='a # b'
motd=it is # a comment
db_password=hunter2
os=ubuntu2204
"#;
    let (format, records) = recognised(text);
    assert_eq!(format, Format::AnsibleIni);
    assert_eq!(
        left_out(&records).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["localhost", "controller"]
    );
    let first = wanted(&records, "shop_01.example.test");
    assert_eq!(first.title.as_deref(), Some("Shop_01.example.test"));
    assert_eq!(json!(first.tags), json!({"os": "ubuntu2204"}));
    assert_eq!(first.attributes["resolvers"], json!(["192.0.2.53", "192.0.2.54"]));
    assert_eq!((&first.attributes["banner"], &first.attributes["motd"]), (&json!("a # b"), &json!("it is")));
    assert_eq!(first.attributes["user"], "first.last");
    let ranged = wanted(&records, "shopb.example.test");
    assert_eq!(
        (&ranged.attributes["port"], &ranged.attributes["user"], &ranged.attributes["python"]),
        (&json!(2022), &json!("CORP\\svc"), &json!("/usr/bin/python3.11"))
    );
    assert_eq!(wanted(&records, "2001:db8::17").attributes["port"], 2222);
    let templated = wanted(&records, "templated");
    assert!(!templated.attributes.contains_key("address") && templated.attributes["port"] == 2022);
    let all = format!("{records:?}");
    assert!(!all.contains("hunter2") && !all.contains("a#b"), "a secret was kept: {all}");
    assert!(all.contains("`db_password` looks like a secret"), "{all}");
}

#[test]
fn an_odd_line_of_an_ini_inventory_stops_nothing() {
    let text = "
[web]
web1 ansible_host=192.0.2.1
web2 ansible_host='192.0.2.2
web3 notes
web[5:1]
bad~name
[a b]
lost
[db:host]
[db]
db1
[db:vars]
nonsense
";
    let (_, records) = recognised(text);
    let refused: Vec<_> = records.iter().filter(|r| r.wanted().is_none()).map(|r| r.number).collect();
    assert_eq!(refused, [4, 5, 6, 7, 8, 9, 10, 14]);
    assert!(records.iter().filter(|record| record.wanted().is_none()).all(|record| record.is_line));
    wanted(&records, "web1");
    wanted(&records, "db1");
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
      key: !vault |
        $ANSIBLE_VAULT;1.1;AES256
";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::AnsibleYaml);
    let app = wanted(&records, "appb");
    assert_eq!(json!(app.attributes), json!({"level": "inner", "ntp": "a", "user": "ops"}));
    let secretive = records.iter().find(|record| !record.left_out.is_empty()).unwrap();
    assert!(secretive.left_out[0].contains("vaulted"));
}

#[test]
fn yaml_merge_keys_ports_and_odd_parts_are_read() {
    let text = "
x-defaults: &defaults
  ansible_user: deploy
  ansible_host: '{{ inventory_hostname }}.example.test'
backend:
  hosts:
    job[1:2].example.test:2201:
      <<: *defaults
      tier: 2
    'bad name': {}
    job9:
      ansible_become_password: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        616263
      note: !unsafe '{{ as it is }}'
  remote_user: root
broken: [a, b]
";
    let (format, list) = list(text);
    assert_eq!(format, Format::AnsibleYaml);
    let job = wanted(&list.records, "job2.example.test");
    assert_eq!(json!(job.tags), json!({"tier": "2"}));
    assert_eq!(
        json!(job.attributes),
        json!({"inventory_groups": ["backend"], "port": 2201, "user": "deploy"})
    );
    assert_eq!(wanted(&list.records, "job9").attributes["note"], "{{ as it is }}");
    let all = format!("{:?}", list.records);
    assert!(all.contains("`ansible_host` is a template") && !all.contains("616263"), "{all}");
    let refused: Vec<_> =
        list.records.iter().filter(|r| r.wanted().is_none()).map(|r| (r.name.as_deref(), r.number)).collect();
    assert_eq!(refused, [(Some("bad name"), 10), (Some("broken"), 17)]);
    assert!(list.warnings.iter().any(|warning| warning.contains("`remote_user`")), "{:?}", list.warnings);
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
        "role_web": {"hosts": ["web-01", "web-02", 7]},
        "odd": "x",
    });
    let (format, records) = recognised(&list.to_string());
    assert_eq!(format, Format::AnsibleJson);
    let web = wanted(&records, "web-01");
    assert_eq!(web.attributes["motd"], "{{ x }}");
    assert_eq!(web.tags["role"], "web");
    assert_eq!(records.iter().filter(|record| record.wanted().is_some()).count(), 2);
    assert_eq!(records.iter().filter(|record| matches!(record.outcome, Outcome::Refused(_))).count(), 2);
}

#[test]
fn clouds_and_network_devices_come_as_their_plugins_print_them() {
    let list = json!({
        "_meta": {"hostvars": {
            "ip-192-0-2-8.example.test": {"ansible_host": "192.0.2.8", "tags": {"Name": "shop", "Environment": "prod", "Role": "web"},
                "instance_id": "i-0123", "placement": {"availability_zone": "eu-central-1a"}},
            "win-1": {"ansible_connection": "winrm", "ansible_port": 5986},
            "edge-1": {"ansible_connection": "ansible.netcommon.network_cli", "ansible_network_os": "junos"},
        }},
        "aws_ec2": {"hosts": ["ip-192-0-2-8.example.test"]},
    });
    let (_, records) = recognised(&list.to_string());
    let host = wanted(&records, "ip-192-0-2-8.example.test");
    assert_eq!(json!(host.tags), json!({"env": "prod", "role": "web"}));
    assert_eq!(host.attributes["address"], "192.0.2.8");
    assert_eq!(json!(wanted(&records, "edge-1").ci_type), "network");
    assert!(left_out(&records)[0].1.contains("WinRM"));
}

#[test]
fn variables_of_a_range_are_bounded_together() {
    let text = format!("[x]\nh[0:9999] note={}\n", "x".repeat(1024 * 1024));
    let error = read(&text, Some(Format::AnsibleIni)).unwrap_err();
    assert!(error.to_string().contains("256 MB"), "{error}");
    let lines: String = (0..200).map(|line| format!("h{line}-[0:9999] a=b\n")).collect();
    let error = read(&lines, Some(Format::AnsibleIni)).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
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

const GROUPS: &str = "
[production]
shop[1:4] ansible_user=ops
[dev]
lab[1:2]
[web]
shop[1:2]
lab1
[db]
shop3 role=primary
[live]
shop1
[rocky9]
shop4
";

#[test]
fn groups_are_proposed_as_tags_and_mapped_on_request() {
    let (_, mut list) = list(GROUPS);
    let proposals = Mapping::default().proposals(&list);
    let maps: Vec<_> = proposals.iter().map(|proposal| proposal.map.as_str()).collect();
    assert_eq!(maps, ["env=production,dev", "role=web", "os=rocky9"]);
    assert_eq!(proposals[0].groups[0].hosts, 4);

    let mapping = Mapping::parse(&["env=production,dev,live".to_owned(), "role=web".to_owned()]).unwrap();
    mapping.apply(&mut list).unwrap();
    assert_eq!(wanted(&list.records, "shop2").tags["env"], "production");
    assert_eq!(wanted(&list.records, "shop3").tags["role"], "primary");
    let twice = list.records.iter().find(|record| record.name.as_deref() == Some("shop1")).unwrap();
    assert!(!twice.wanted().unwrap().tags.contains_key("env"));
    assert!(twice.left_out[0].contains("`live` and `production`"), "{:?}", twice.left_out);
    assert_eq!(mapping.proposals(&list).len(), 1);

    let misspelt = Mapping::parse(&["env=prodution".to_owned()]).unwrap().apply(&mut list).unwrap_err();
    assert!(misspelt.contains("production"), "{misspelt}");
    for text in ["env", "env=", "=prod", "a b=prod"] {
        assert!(Mapping::parse(&[text.to_owned()]).is_err(), "{text}");
    }
}
