//! Who may call what: every operation, every role.

use api_types::access::Role;
use reqwest::Method;
use serde_json::json;

use crate::lab::Lab;

const OPERATIONS: [(&str, &str, &[Role]); 33] = {
    const READ: &[Role] = &[Role::Viewer, Role::Operator, Role::Approver, Role::Admin, Role::Service];
    const WORK: &[Role] = &[Role::Operator, Role::Admin, Role::Service];
    const DECIDE: &[Role] = &[Role::Approver];
    const ADMIN: &[Role] = &[Role::Admin];
    const CONFIRM: &[Role] = &[Role::Approver, Role::Admin];
    [
        ("GET", "/itsm/changes", READ),
        ("POST", "/itsm/changes", WORK),
        ("GET", "/itsm/changes/CHG0000001", READ),
        ("PATCH", "/itsm/changes/CHG0000001", WORK),
        ("GET", "/itsm/changes/CHG0000001/conflicts", READ),
        ("POST", "/itsm/changes/CHG0000001/submit", WORK),
        ("POST", "/itsm/changes/CHG0000001/approve", DECIDE),
        ("POST", "/itsm/changes/CHG0000001/reject", DECIDE),
        ("POST", "/itsm/changes/CHG0000001/execute", WORK),
        ("POST", "/itsm/changes/CHG0000001/complete", WORK),
        ("POST", "/itsm/changes/CHG0000001/fail", WORK),
        ("POST", "/itsm/changes/CHG0000001/cancel", WORK),
        ("GET", "/itsm/templates", READ),
        ("PUT", "/itsm/templates/other", ADMIN),
        ("POST", "/itsm/templates/other/approve", DECIDE),
        ("GET", "/access/people", READ),
        ("PUT", "/access/people/vera", ADMIN),
        ("DELETE", "/access/people/vera", ADMIN),
        ("GET", "/access/me", READ),
        ("GET", "/access/approvers", READ),
        ("GET", "/access/proposals", READ),
        ("POST", "/access/proposals/00000000-0000-7000-8000-000000000000/reject", CONFIRM),
        ("GET", "/itsm/incidents", READ),
        ("POST", "/itsm/incidents", WORK),
        ("PATCH", "/itsm/incidents/INC0000001", WORK),
        ("POST", "/itsm/incidents/INC0000001/resolve", WORK),
        ("GET", "/itsm/problems", READ),
        ("POST", "/itsm/problems", WORK),
        ("PATCH", "/itsm/problems/PRB0000001", WORK),
        ("GET", "/itsm/notifications", READ),
        ("POST", "/itsm/notifications", WORK),
        ("GET", "/itsm/notifications/00000000-0000-7000-8000-000000000000", READ),
        ("POST", "/itsm/notifications/00000000-0000-7000-8000-000000000000/resend", WORK),
    ]
};

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_lets_its_roles_through_and_no_other() {
    let lab = Lab::start().await;
    let roles = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin, Role::Service];
    let mut people = Vec::new();
    for role in roles {
        people.push((role, lab.person(&format!("only-{role:?}"), &[role]).await));
    }
    let headers = [("content-type", "application/json")];
    // A body of the wrong shape: an allowed caller gets that error, or a 404.
    let body = Some(json!({"no": "field"}).to_string().into_bytes());
    for (method, path, allowed) in OPERATIONS {
        let method: Method = method.parse().unwrap();
        for (role, http) in &people {
            let status = http.send(method.clone(), path, &headers, body.clone()).await.status.as_u16();
            if allowed.contains(role) {
                assert!(matches!(status, 200 | 404 | 422), "{method} {path} as {role:?}: {status}")
            } else {
                assert_eq!(status, 403, "{method} {path} as {role:?}")
            }
        }
        lab.service.nobody().send(method.clone(), path, &headers, body.clone()).await.expect_problem(401);
        let forged = test_support::Http::new(&lab.service.base, Some("pm_forged".to_owned()));
        forged.send(method, path, &headers, body.clone()).await.expect_problem(401);
    }
}
