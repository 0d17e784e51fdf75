use super::*;

#[test]
fn csv_columns_become_tags_and_attributes() {
    let text = "Hostname;Type;env;Tag.Rack;IP Address;port;cores;tags\nWEB-01;Virtual Machine;prod;r7;10.0.0.1;22;8;a=b|c:d\n\"bad host\";host;;;;;;\n";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::Csv);
    let web = wanted(&records, "web-01");
    assert_eq!(json!(web.tags), json!({"env": "prod", "Rack": "r7", "a": "b", "c": "d"}));
    assert_eq!(json!(web.attributes), json!({"address": "10.0.0.1", "port": 22, "cores": "8"}));
    assert_eq!(json!(web.ci_type), "vm");
    assert_eq!(web.title.as_deref(), Some("WEB-01"));
    assert!(refusal(&records[1]).remedy.as_ref().unwrap().contains("`bad-host`"));
    assert_eq!((records[1].number, records[1].is_line), (3, true));
}

#[test]
fn odd_columns_of_a_csv_stop_nothing() {
    let text = "id,name,ip,ip_address,root_password,vars,status,\n17,app_1,192.0.2.1,,x,y,In use,\n18,app_2,,,,,Retired,\n";
    let (_, list) = list(text);
    assert_eq!(
        json!(wanted(&list.records, "app_1").attributes),
        json!({"address": "192.0.2.1", "id": "17", "status": "In use"})
    );
    assert_eq!(left_out(&list.records).len(), 1);
    assert_eq!(list.warnings.len(), 4, "{:?}", list.warnings);
}

#[test]
fn names_for_people_become_ids_where_no_column_names_the_host() {
    let (_, records) = recognised("name,env\nDB Server 1,prod\n\"db,2\",prod\n$(touch x),prod\n");
    assert_eq!(wanted(&records, "db-server-1").title.as_deref(), Some("DB Server 1"));
    wanted(&records, "db-2");
    refusal(&records[2]);
}

#[test]
fn netbox_devices_and_machines_are_distinguished() {
    let export = json!({"count": 3, "results": [
        {"name": "Edge-1", "device_type": {"slug": "r640"}, "role": {"slug": "edge"}, "site": {"slug": "fra"},
         "primary_ip": {"address": "10.1.0.5/24"}, "custom_fields": {"environment": "prod", "u": 2, "vars": "x", "n": null},
         "tags": [{"slug": "tier:gold"}, {"slug": "pci"}]},
        {"name": "vm-1", "vcpus": 2, "cluster": {"name": "c1"}, "platform": {"slug": "debian12"}},
        {"name": null, "display": "r640 (17)"},
    ]});
    let (format, records) = recognised(&export.to_string());
    assert_eq!(format, Format::Netbox);
    let edge = wanted(&records, "edge-1");
    assert_eq!(json!(edge.tags), json!({"env": "prod", "role": "edge", "site": "fra", "tier": "gold"}));
    assert_eq!(json!(edge.attributes), json!({"address": "10.1.0.5", "labels": ["pci"], "u": 2}));
    assert_eq!(json!(wanted(&records, "vm-1").tags), json!({"cluster": "c1", "os": "debian12"}));
    assert_eq!(left_out(&records)[0].0, "r640 (17)");
}

#[test]
fn netbox_statuses_roles_and_platforms_decide_what_a_device_is() {
    let device = |name: &str, status: &str, role: &str, platform: Option<&str>| {
        json!({"id": 1, "name": name, "device_type": {"slug": "x"}, "status": {"value": status, "label": status},
            "role": {"slug": role}, "platform": platform.map(|slug| json!({"slug": slug}))})
    };
    let export = json!({"count": 900, "next": "https://netbox.example.test/api/dcim/devices/?offset=9", "results": [
        device("app1", "active", "application", Some("rocky-9")),
        device("fw1", "active", "security", Some("palo-alto-pan-os")),
        device("sw1", "active", "access-switch", None),
        device("nas1", "active", "storage", None),
        device("nas2", "active", "storage-server", Some("debian-12")),
        device("ups1", "active", "ups", None),
        device("bare1", "active", "compute", None),
        device("gone1", "decommissioning", "application", Some("rocky-9")),
        device("DB Server (new)", "reserved-for-tests", "application", Some("rocky-9")),
    ]});
    let (_, list) = list(&export.to_string());
    let kinds: Vec<_> =
        list.records.iter().filter_map(Record::wanted).map(|w| (w.id.as_str(), json!(w.ci_type))).collect();
    assert_eq!(
        json!(kinds),
        json!([
            ["app1", "host"],
            ["fw1", "network"],
            ["sw1", "network"],
            ["nas1", "storage"],
            ["nas2", "host"],
            ["ups1", "other"],
            ["bare1", "host"],
            ["db-server-new", "host"]
        ])
    );
    let firewall = wanted(&list.records, "fw1");
    assert!(!firewall.tags.contains_key("os") && firewall.attributes["platform"] == "palo-alto-pan-os");
    let own = wanted(&list.records, "db-server-new");
    assert_eq!(own.attributes["netbox_status"], "reserved-for-tests");
    assert_eq!(own.title.as_deref(), Some("DB Server (new)"));
    assert!(left_out(&list.records)[0].1.contains("decommissioning"));
    assert_eq!(list.total, Some(900));
    assert!(list.warnings[0].contains("9 of 900"), "{:?}", list.warnings);
}

#[test]
fn lists_of_netbox_without_their_frame_are_recognised() {
    let device = json!({"id": 7, "name": "app7", "device_type": {"slug": "x"}, "status": {"value": 1, "label": "Active"}});
    for export in [
        json!([device, {"id": 8, "name": "app8", "device_type": {"slug": "x"}, "status": {"value": 2, "label": "Planned"}}]),
        json!({"data": {"device_list": [device], "virtual_machine_list": [{"id": "4", "name": "app8", "status": "offline", "vcpus": 1}]}}),
    ] {
        let (format, records) = recognised(&export.to_string());
        assert_eq!(format, Format::Netbox);
        wanted(&records, "app7");
        assert_eq!(left_out(&records)[0].0, "app8");
    }
}

#[test]
fn tables_of_netbox_are_read_like_its_api() {
    let text = "id,name,status,role,manufacturer,device_type,site,platform,primary_ip4,tags\n\
        4,app4,Active,Server,Dell,R640,DC 1,Debian 12,192.0.2.4/24,\"pci,tier:gold\"\n\
        5,app5,Planned,Server,Dell,R640,DC 1,Debian 12,,\n\
        6,,Active,Server,Dell,R640,DC 1,,,\n\
        7,swi7,Active,Access Switch,Dell,S5248,DC 1,,,\n";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::NetboxCsv);
    let app = wanted(&records, "app4");
    assert_eq!(json!(app.tags), json!({"os": "Debian 12", "role": "Server", "site": "DC 1", "tier": "gold"}));
    assert_eq!(
        json!(app.attributes),
        json!({"address": "192.0.2.4", "labels": ["pci"], "netbox": "devices/4"})
    );
    assert_eq!(left_out(&records).len(), 2);
    assert_eq!(json!(wanted(&records, "swi7").ci_type), "network");
    assert_eq!(records[2].number, 4);

    let text = "Name,Status,Site,Cluster,Role,VCPUs,Memory (MB),IP Address\nvm1,Active,DC 1,kvm-a,Web,2.00,4096,192.0.2.9/24\n";
    let (_, records) = recognised(text);
    let machine = wanted(&records, "vm1");
    assert_eq!((json!(machine.ci_type), json!(machine.tags["cluster"])), (json!("vm"), json!("kvm-a")));
}

#[test]
fn servers_of_servicenow_are_read() {
    let text = "name,os,os_version,ip_address,install_status,sys_class_name,location\n\
        LNX App 01,Linux Red Hat,9.4,192.0.2.31,Installed,Linux Server,DC 1\n\
        lnx02.example.test,Ubuntu 22.04,22.04,192.0.2.32,1,Linux Server,\n\
        old03,Linux Red Hat,6.10,192.0.2.33,Retired,Linux Server,\n\
        old04,Linux Red Hat,6.10,192.0.2.34,7,Linux Server,\n";
    let (format, records) = recognised(text);
    assert_eq!(format, Format::ServicenowCsv);
    let first = wanted(&records, "lnx-app-01");
    assert_eq!(first.title.as_deref(), Some("LNX App 01"));
    assert_eq!(json!(first.tags), json!({"os": "Linux Red Hat 9.4", "site": "DC 1"}));
    assert_eq!(first.attributes["address"], "192.0.2.31");
    assert_eq!(wanted(&records, "lnx02.example.test").tags["os"], "Ubuntu 22.04");
    assert_eq!(left_out(&records).len(), 2);
}

#[test]
fn hosts_of_foreman_are_read() {
    let export = json!({"total": 40, "subtotal": 40, "page": 1, "per_page": 2, "results": [
        {"name": "kat1.example.test", "ip": "192.0.2.41", "operatingsystem_name": "RedHat 9.4", "hostgroup_name": "web",
         "content_facet_attributes": {"lifecycle_environment_name": "Production"}, "location_name": "DC 2"},
        {"name": "bad name", "operatingsystem_name": null},
    ]});
    let (format, list) = list(&export.to_string());
    assert_eq!(format, Format::Foreman);
    let host = wanted(&list.records, "kat1.example.test");
    assert_eq!(json!(host.tags), json!({"env": "Production", "os": "RedHat 9.4", "site": "DC 2"}));
    assert_eq!(json!(host.attributes), json!({"address": "192.0.2.41", "hostgroup": "web"}));
    refusal(&list.records[1]);
    assert_eq!(list.total, Some(40));
}

#[test]
fn hosts_of_patchmon_are_read_with_their_groups() {
    let export = json!({"total": 2, "hosts": [
        {"id": "0190", "friendly_name": "Shop front", "hostname": "shop1.example.test", "ip": "192.0.2.81", "os_type": "Debian",
         "os_version": "12", "host_groups": [{"id": "1", "name": "Production"}]},
        {"id": "0191", "friendly_name": "lab 1", "hostname": null, "os_type": null, "host_groups": []},
    ]});
    let (format, mut list) = list(&export.to_string());
    assert_eq!(format, Format::Patchmon);
    let shop = wanted(&list.records, "shop1.example.test");
    assert_eq!((shop.title.as_deref(), &shop.tags["os"]), (Some("Shop front"), &"Debian 12".to_owned()));
    wanted(&list.records, "lab-1");
    let mapping = Mapping::parse(&["env=Production".to_owned()]).unwrap();
    assert_eq!(Mapping::default().proposals(&list)[0].map, "env=Production");
    mapping.apply(&mut list).unwrap();
    assert_eq!(wanted(&list.records, "shop1.example.test").tags["env"], "Production");
}
