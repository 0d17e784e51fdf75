use api_client::sim::SimClient;
use api_types::sim::{PowerAction, ServiceAction, StartTransaction, TransactionState};
use domain::ids::CiId;
use serde_json::json;

use crate::{World, vm};

#[tokio::test(flavor = "multi_thread")]
async fn typed_client_speaks_the_whole_contract() {
    let world = World::start_live().await;
    let client = SimClient::new(&world.service.base, world.service.service_token());
    let id = CiId::new("web-01").unwrap();
    let mut spec = vm("web-01");
    for field in ["patch_seconds", "reboot_seconds", "drain_seconds"] {
        spec["guest"][field] = json!(0);
    }
    let vm = client.create_vm(&serde_json::from_value(spec).unwrap()).await.unwrap();
    let expires_at = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let request = json!({ "owner": "run:1", "expires_at": expires_at });
    let snapshot = client.create_snapshot(&id, &serde_json::from_value(request).unwrap()).await.unwrap();
    assert_eq!(client.list_snapshots(&id).await.unwrap().len(), 1);
    let request = StartTransaction {
        transaction_id: "run/1:1 ?".replace(' ', ""),
        packages: [("openssl".to_owned(), "3.0.15-1".to_owned())].into(),
        owner: None,
    };
    let ended = client.start_transaction(&id, &request, 5).await.unwrap();
    assert_eq!(ended.state, TransactionState::Completed);
    assert_eq!(client.get_transaction(&id, &request.transaction_id).await.unwrap(), ended);
    assert_eq!(client.list_transactions(&id).await.unwrap(), [ended]);
    assert!(!client.control_service(&id, "nginx", ServiceAction::Stop).await.unwrap().active);
    assert_ne!(client.reboot_guest(&id, Some(vm.boot_id)).await.unwrap().boot_id, vm.boot_id);
    assert!(!client.get_guest(&id).await.unwrap().reboot_pending);
    client.revert_snapshot(&id, snapshot.id).await.unwrap();
    client.delete_snapshot(&id, snapshot.id).await.unwrap();
    let kind = api_types::sim::FaultKind::NetworkPartition;
    let request = serde_json::from_value(json!({ "vm_id": "web-01" })).unwrap();
    let fault = client.inject_fault(kind, &request).await.unwrap();
    assert!(!client.get_vm(&id).await.unwrap().reachable);
    assert_eq!(client.list_faults(&[("kind", "network-partition".to_owned())]).await.unwrap().len(), 1);
    client.delete_fault(fault.id).await.unwrap();
    client.set_power(&id, PowerAction::Off).await.unwrap();
    assert_eq!(client.list_vms(&[("power", "off".to_owned())]).await.unwrap().len(), 1);
    assert_eq!(client.list_hosts().await.unwrap().len(), 1);
    assert_eq!(client.list_clusters().await.unwrap().len(), 1);
    let repository = client.get_repository("debian12").await.unwrap();
    client.put_repository("debian12", &repository).await.unwrap();
    let state = client.get_state().await.unwrap();
    client.delete_vm(&id).await.unwrap();
    assert_eq!(client.get_state_diff(state.version).await.unwrap().deleted, std::slice::from_ref(&id));
    assert!(client.get_vm(&id).await.unwrap_err().is_not_found());
}
