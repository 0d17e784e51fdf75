//! Lists as people have them.

mod ansible;
mod tables;

use serde_json::json;

use super::{
    Mapping,
    recognise::{Format, read},
    record::{List, Outcome, Record, Refusal, Wanted},
};

fn recognised(text: &str) -> (Format, Vec<Record>) {
    let (format, list) = list(text);
    (format, list.records)
}

fn list(text: &str) -> (Format, List) {
    read(text, None).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn wanted<'a>(records: &'a [Record], id: &str) -> &'a Wanted {
    let found = records.iter().filter_map(Record::wanted).find(|wanted| wanted.id.as_str() == id);
    found.unwrap_or_else(|| panic!("no `{id}` in {records:?}"))
}

fn refusal(record: &Record) -> &Refusal {
    match &record.outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("is not refused: {other:?}"),
    }
}

/// The names of records that are left out as a whole, with their reasons.
fn left_out(records: &[Record]) -> Vec<(&str, &str)> {
    let found = records.iter().filter_map(|record| match &record.outcome {
        Outcome::LeftOut { reason, .. } => {
            Some((record.name.as_deref().unwrap_or_default(), reason.reason.as_str()))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn json_and_ndjson_are_cis_as_created() {
    let (format, records) =
        recognised(r#"[{"id": "a", "type": "host"}, {"id": "b", "type": "host", "x": 1}]"#);
    assert_eq!(format, Format::Json);
    assert!(records[0].wanted().is_some() && refusal(&records[1]).reason.contains("`x`"));
    let (format, records) =
        recognised("{\"id\": \"a\", \"type\": \"host\"}\n\n{\"id\": \"all\", \"type\": \"host\"}\n{\n");
    assert_eq!(format, Format::Ndjson);
    assert_eq!((records[1].number, records[1].is_line), (3, true));
    assert!(refusal(&records[1]).reason.contains("reserved"));
    assert!(refusal(&records[2]).remedy.is_some());
}

#[test]
fn what_is_not_a_list_is_refused_with_its_reason() {
    for text in [
        "hello",
        "<xml/>",
        "<a href=\"x\">y</a>",
        "{\"a\": 1}",
        "42",
        "{\"id\": ",
        "a: &a [*a]",
        "[{\"id\": \"a\"},]",
        "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
        "a long text\nwithout a table = nothing\nand more\n",
    ] {
        assert!(read(text, None).is_err(), "{text} was accepted");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let (_, records) =
        recognised(r#"[{"id": "DB Server 1 (old)", "type": "host"}, {"id": "", "type": "host"}]"#);
    assert!(refusal(&records[0]).remedy.as_ref().unwrap().contains("`db-server-1-old`"));
    assert!(refusal(&records[1]).remedy.is_some());
}
