use reqwest::Method;
use serde_json::json;

use crate::platform::Platform;

const ICAL: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nBEGIN:VEVENT\r\nUID:year-end\r\nDTSTAMP:20260101T000000Z\r\n\
DTSTART:20261220T000000Z\r\nDTEND:20270104T000000Z\r\nSUMMARY:year end\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn freezes_are_read_and_written_as_fields_and_icalendar() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let fields = json!({ "name": "spring sale", "reason": "revenue", "scope": { "env": "prod" },
        "starts": "2026-04-10T00:00:00Z", "ends": "2026-04-12T00:00:00Z" });
    let created = operator.post("/patch/calendars", &fields).await.expect(201);
    assert_eq!(created["freezes"][0]["scope"], json!({ "env": "prod" }));
    let file = json!({ "name": "company", "scope": { "tier": "db" }, "ical": ICAL });
    let company = operator.post("/patch/calendars", &file).await.expect(201);
    assert_eq!(
        (&company["freezes"][0]["uid"], &company["freezes"][0]["scope"]),
        (&json!("year-end"), &json!({ "tier": "db" }))
    );

    let list = operator.get("/patch/calendars").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let all = operator.get("/patch/calendars?format=ical").await;
    assert_eq!(all.headers["content-type"], "text/calendar; charset=utf-8");
    assert_eq!(
        (all.text.matches("BEGIN:VEVENT").count(), all.text.matches("BEGIN:VCALENDAR").count()),
        (2, 1)
    );
    let path = format!("/patch/calendars/{}", created["id"].as_str().unwrap());
    let one = operator.send(Method::GET, &path, &[("accept", "text/calendar")], None).await;
    assert!(
        one.text.contains("SUMMARY:spring sale") && one.text.contains("X-PATCH-SCOPE:env=prod"),
        "{}",
        one.text
    );

    // The export can be imported.
    let back =
        operator.post("/patch/calendars", &json!({ "name": "again", "ical": one.text })).await.expect(201);
    assert_eq!(back["freezes"][0]["starts"], "2026-04-10T00:00:00Z");

    platform.patch.agreed(operator.delete(&path).await).await;
    operator.get(&path).await.expect_problem(404);
    operator.delete(&path).await.expect_problem(404);
    assert_eq!(operator.get("/patch/calendars?limit=1").await.expect(200)["items"][0]["id"], company["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn freezes_recur_on_days_and_keep_days_of_each_month_open() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let after_patch_day = json!({ "name": "after patch day", "starts": "2026-04-16T06:00:00Z", "ends": "2026-04-16T18:00:00Z",
        "time_zone": "Europe/Berlin", "recurrence": { "frequency": "monthly", "by_day": ["2TU"], "offset_days": 2 } });
    let created = operator.post("/patch/calendars", &after_patch_day).await.expect(201);
    assert_eq!(created["freezes"][0]["recurrence"]["by_day"], json!(["2TU"]));
    let long = json!({ "name": "year end", "starts": "2026-11-15T00:00:00Z", "ends": "2027-01-10T00:00:00Z", "keep_open_days": 3 });
    operator.post("/patch/calendars", &long).await.expect(201);
    let file =
        json!({ "name": "company", "ical": ICAL.replace("20270104T", "20270204T"), "keep_open_days": 2 });
    let company = operator.post("/patch/calendars", &file).await.expect(201);
    assert_eq!(company["freezes"][0]["keep_open_days"], 2);
    let deleted = operator.delete(&format!("/patch/calendars/{}", company["id"].as_str().unwrap())).await;
    platform.patch.agreed(deleted).await;

    let conflicts = async |starts: &str, ends: &str| {
        let ask = json!({ "ci_ids": ["web-1"], "starts": starts, "ends": ends });
        let found = operator.post("/patch/calendars/conflicts", &ask).await.expect(200);
        let freezes = found["freezes"].as_array().unwrap();
        freezes.iter().map(|freeze| freeze["starts"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        conflicts("2026-05-01T00:00:00Z", "2026-08-01T00:00:00Z").await,
        ["2026-05-14T06:00:00Z", "2026-06-11T06:00:00Z", "2026-07-16T06:00:00Z"]
    );
    assert_eq!(conflicts("2026-12-29T00:00:00Z", "2027-01-01T00:00:00Z").await, Vec::<String>::new());
    assert_eq!(conflicts("2026-12-28T00:00:00Z", "2027-01-02T00:00:00Z").await.len(), 2);

    for (field, value, pointer) in [
        ("recurrence", json!({ "frequency": "monthly", "by_day": ["1TU"], "offset_days": 2 }), "/starts"),
        ("recurrence", json!({ "frequency": "monthly", "by_day": ["6TU"] }), "/recurrence/by_day/0"),
        ("recurrence", json!({ "frequency": "weekly", "by_day": ["2TU"] }), "/recurrence"),
        ("recurrence", json!({ "frequency": "monthly", "offset_days": 31 }), "/recurrence/offset_days"),
        ("keep_open_days", json!(22), "/keep_open_days"),
        ("time_zone", json!("Mars/Base"), "/time_zone"),
        ("ical", json!(ICAL), "/recurrence"),
    ] {
        let mut body = after_patch_day.clone();
        body[field] = value;
        let problem = operator.post("/patch/calendars", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_marks_the_occurrences_that_a_freeze_blocks() {
    let platform = Platform::start().await;
    for (host, env) in [("web-1", "prod"), ("web-2", "prod"), ("web-3", "dev")] {
        platform.add_host(host, json!({ "env": env, "os": "rocky9", "tier": "web" })).await;
    }
    let operator = &platform.operator;
    let policy =
        json!({ "id": "web", "name": "web", "target_ci_tags": { "tier": "web" }, "schedule": "0 2 * * 0" });
    operator.post("/patch/policies", &policy).await.expect(201);
    let freeze = json!({ "name": "sale", "scope": { "env": "prod" }, "starts": "2026-04-12T00:00:00Z", "ends": "2026-04-20T00:00:00Z" });
    operator.post("/patch/calendars", &freeze).await.expect(201);
    let preview = operator.get("/patch/policies/web/preview").await.expect(200);
    let blocked: Vec<_> = preview["occurrences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|occurrence| (occurrence["at"].as_str().unwrap(), occurrence.get("blocked_by").cloned()))
        .collect();
    let sale = Some(json!([{ "name": "sale", "hosts": 2 }]));
    assert_eq!(
        blocked,
        [
            ("2026-04-05T02:00:00Z", None),
            ("2026-04-12T02:00:00Z", sale.clone()),
            ("2026-04-19T02:00:00Z", sale),
            ("2026-04-26T02:00:00Z", None),
            ("2026-05-03T02:00:00Z", None),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_freezes_are_refused_with_their_pointer() {
    let platform = Platform::start().await;
    let two_starts = ICAL.replace("DTEND", "DTSTART");
    for (body, pointer) in [
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "x" }), "/starts"),
        (json!({ "name": "x", "starts": "2026-04-10T00:00:00Z" }), "/ends"),
        (json!({ "name": "x", "starts": "2026-04-10T00:00:00Z", "ends": "2026-04-09T00:00:00Z" }), "/ends"),
        (json!({ "name": "x", "ical": "nothing" }), "/ical"),
        (json!({ "name": "x", "ical": two_starts }), "/ical"),
        (json!({ "name": "x", "ical": "BEGIN:VCALENDAR\nEND:VCALENDAR\n" }), "/ical"),
        (json!({ "name": "x", "ical": ICAL, "starts": "2026-04-10T00:00:00Z" }), "/ical"),
        (json!({ "name": "x", "colour": "red" }), "/colour"),
    ] {
        let problem = platform.operator.post("/patch/calendars", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(platform.operator.get("/patch/calendars").await.expect(200)["items"], json!([]));
    platform.operator.get("/patch/calendars?format=pdf").await.expect_problem(400);
}
