//! Imports of lists as operators have them, against a real platform.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use test_support::ansible_playbook;

use crate::program::{Finished, Up, finish, patchctl};

const INVENTORY: &str = "\
localhost ansible_connection=local
[prod]
shop[1:3].example.test:2022 ansible_user=first.last
Legacy_Box ansible_host=192.0.2.50 ansible_password='p#ss'
[dev]
lab[1:2]
broken ansible_host='192.0.2.51
[web]
shop[1:2].example.test
[prod:vars]
ntp=['192.0.2.1', '192.0.2.2']
";

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

#[test]
fn an_inventory_is_imported_with_its_odd_lines_named_and_mapped_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let inventory = folder.path().join("my hosts.ini");
    fs::write(&inventory, INVENTORY).unwrap();
    let inventory = inventory.to_str().unwrap();

    let refused = up.run(&["ci", "import", inventory, "--strict"]).expect(1);
    assert!(refused.stderr.contains("line 7: a quote is not closed"), "{refused:?}");
    let imported = up.run(&["ci", "import", inventory]).expect(3).stdout;
    for text in [
        "ansible_ini: 8 read, 6 created, 0 updated, 0 unchanged, 1 refused, 1 left out",
        "line 7",
        "a quote is not closed",
        "is the machine that runs Ansible",
        "`ansible_password`",
        "6 hosts have no tag `os`",
        "legacy_box, lab1, lab2",
        "env: prod (4 hosts), dev (2 hosts)",
        "--map env=prod,dev --map role=web",
        "my hosts.ini'",
    ] {
        assert!(imported.contains(text), "`{text}` is missing: {imported}");
    }
    assert!(!imported.contains("p#ss"), "{imported}");
    let mapped =
        up.run(&["ci", "import", inventory, "--map", "env=prod,dev", "--map", "role=web", "-o", "json"]);
    assert_eq!(json_of(&mapped.expect(3))["updated"], 6);
    let shop = json_of(&up.run(&["ci", "show", "shop1.example.test", "-o", "json"]).expect(0));
    assert_eq!(shop["tags"], json!({"env": "prod", "role": "web"}));
    assert_eq!(
        (&shop["attributes"]["port"], &shop["attributes"]["user"]),
        (&json!(2022), &json!("first.last"))
    );
    let legacy = json_of(&up.run(&["ci", "show", "legacy_box", "-o", "json"]).expect(0));
    assert_eq!(legacy["name"], "Legacy_Box");
    let list = up.run(&["ci", "list", "-o", "csv"]).expect(0).stdout;
    assert!(list.starts_with("id,type,status,tags,managed,missing,"), "{list}");
    assert!(list.contains("lab1,host,active,env=dev,no,os,"), "{list}");
    let scan = up.run(&["compliance", "scan", "--tag", "env=nowhere", "--wait"]).expect(3);
    assert!(scan.stderr.contains("nothing was scanned"), "{scan:?}");
    let scan = up.run(&["compliance", "scan", "--all", "--wait"]).expect(3);
    assert!(scan.stderr.contains("6 of the 6 hosts are still not managed"), "{scan:?}");
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_of_ansible_is_read_without_running_or_decrypting_anything() {
    let Some(ansible) = ansible_playbook() else { return };
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let root = folder.path().join("inventories");
    let proof = folder.path().join("was-run");
    write(
        &root.join("hosts.yml"),
        "all:\n  children:\n    prod:\n      hosts:\n        shop[1:2].example.test:\n",
        0o644,
    );
    write(
        &root.join("more.constructed.yml"),
        "plugin: ansible.builtin.constructed\ngroups:\n  env_prod: \"'shop' in inventory_hostname\"\n",
        0o644,
    );
    write(&root.join("group_vars/prod/main.yml"), "ansible_port: 2201\nowner: platform\n", 0o644);
    write(&root.join("group_vars/prod/vault.yml"), "$ANSIBLE_VAULT;1.1;AES256\n6162\n", 0o644);
    write(
        &root.join("host_vars/shop2.example.test.yml"),
        "ansible_host: 192.0.2.62\nfrom_a_template: '{{ lookup(\"pipe\", \"id\") }}'\n",
        0o644,
    );
    write(&root.join("script"), &format!("#!/bin/sh\ntouch {}\necho '{{}}'\n", proof.display()), 0o755);

    let mut arguments = vec!["ci", "import", "--ansible", root.to_str().unwrap(), "-o", "json"];
    arguments.extend(["--data-dir", &up.data_dir, "--port-base", &up.port_base]);
    let run = |command: &mut Command| finish(command.env("PATCH_ANSIBLE_PLAYBOOK", &ansible), "");
    // A script was left out, so the inventory is not complete.
    let imported = run(&mut patchctl(&arguments)).expect(3);
    let report = json_of(&imported);
    assert_eq!((&report["format"], &report["created"]), (&json!("ansible_json"), &json!(2)), "{imported:?}");
    assert!(
        imported.stderr.contains("is a script") && imported.stderr.contains("is vaulted"),
        "{imported:?}"
    );
    assert!(report["left_out"].to_string().contains("`from_a_template` is a template"), "{report}");
    assert!(!proof.exists(), "the script was run");
    let shop = json_of(&up.run(&["ci", "show", "shop2.example.test", "-o", "json"]).expect(0));
    assert_eq!(shop["tags"], json!({"env": "prod", "owner": "platform"}));
    assert_eq!(
        (&shop["attributes"]["port"], &shop["attributes"]["address"]),
        (&json!(2201), &json!("192.0.2.62"))
    );

    let script = root.join("script");
    arguments[3] = script.to_str().unwrap();
    run(&mut patchctl(&arguments)).expect(2);
    assert!(!proof.exists(), "the script was run");
}

/// Answers like NetBox: pages of two devices, one machine, and an error for the first request.
fn netbox(token: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let target = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
            let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let is_known = headers
                .iter()
                .any(|line| line.eq_ignore_ascii_case(&format!("authorization: Token {token}")));
            let mut asked = log.lock().unwrap();
            asked.push(target.clone());
            let (status, body) = match (is_known, asked.len()) {
                (false, _) => ("403 Forbidden", json!({})),
                (_, 1) => ("503 Service Unavailable", json!({})),
                _ => ("200 OK", page(&target)),
            };
            let body = body.to_string();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .ok();
        }
    });
    (address, asked)
}

fn page(target: &str) -> Value {
    let device = |id: u64, status: &str| {
        json!({"id": id, "name": format!("app{id}"), "device_type": {"slug": "x"}, "status": {"value": status},
            "platform": {"slug": "debian-12"}, "site": {"slug": "fra"}, "config_context": {"large": "x".repeat(1000)}})
    };
    let offset: usize =
        target.split("offset=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok()).unwrap_or(0);
    let all = if target.starts_with("/netbox/api/dcim/devices/") {
        vec![
            device(1, "active"),
            device(2, "planned"),
            device(3, "active"),
            device(4, "active"),
            device(5, "active"),
        ]
    } else {
        vec![json!({"id": 1, "name": "vm1", "vcpus": 2.0, "status": {"value": "active"}})]
    };
    let results: Vec<_> = all.iter().skip(offset).take(2).collect();
    json!({"count": all.len(), "next": "http://127.0.0.1:1/elsewhere", "results": results})
}

#[test]
fn every_page_of_netbox_is_read_with_a_token_that_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let (address, asked) = netbox("0123456789abcdef");
    let token = folder.path().join("token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let url = format!("{address}/netbox");
    let arguments = ["ci", "import", "--netbox", &url, "--netbox-token-file", token.to_str().unwrap()];
    let imported = up.run(&arguments).expect(0);
    assert!(imported.stdout.starts_with("netbox: 6 read, 5 created"), "{imported:?}");
    assert!(imported.stdout.contains("`planned`"), "{imported:?}");
    assert!(!format!("{imported:?}").contains("0123456789abcdef"));
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(asked.iter().all(|target| target.contains("exclude=config_context")), "{asked:?}");

    fs::write(&token, "another\n").unwrap();
    let refused = up.run(&arguments).expect(1);
    assert!(refused.stderr.contains("403") && !refused.stderr.contains("another\n"), "{refused:?}");
}
