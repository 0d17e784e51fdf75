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

    operator.delete(&path).await.expect(204);
    operator.get(&path).await.expect_problem(404);
    operator.delete(&path).await.expect_problem(404);
    assert_eq!(operator.get("/patch/calendars?limit=1").await.expect(200)["items"][0]["id"], company["id"]);
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
