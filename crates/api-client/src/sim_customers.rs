//! The sim-engine's customers.

use api_types::sim_customers::{
    CustomerHealth, PutCustomerFaults, PutSimCustomer, SimCustomer, SimDeployment, StartSimDeployment,
};
use domain::ids::CiId;
use uuid::Uuid;

use crate::{ClientError, client::service_client};

/// Maximum number of items of a list.
const MOST: usize = 100_000;

service_client! {
    SimCustomersClient, "sim-engine"
}

impl SimCustomersClient {
    pub async fn list_customers(&self) -> Result<Vec<SimCustomer>, ClientError> {
        self.0.get_all("/sim/customers", &[], MOST).await
    }

    pub async fn put_customer(
        &self,
        id: &CiId,
        request: &PutSimCustomer,
    ) -> Result<SimCustomer, ClientError> {
        self.0.put(&customer(id, ""), request).await
    }

    pub async fn get_customer(&self, id: &CiId) -> Result<SimCustomer, ClientError> {
        self.0.get(&customer(id, ""), &[]).await
    }

    pub async fn delete_customer(&self, id: &CiId) -> Result<(), ClientError> {
        self.0.delete(&customer(id, "")).await
    }

    pub async fn put_customer_faults(
        &self,
        id: &CiId,
        request: &PutCustomerFaults,
    ) -> Result<SimCustomer, ClientError> {
        self.0.put(&customer(id, "/faults"), request).await
    }

    /// Starts a deployment, or returns the one that has this id.
    pub async fn start_deployment(
        &self,
        id: &CiId,
        request: &StartSimDeployment,
    ) -> Result<SimDeployment, ClientError> {
        self.0.post_once(&customer(id, "/deployments"), request, &request.deployment_id.to_string()).await
    }

    pub async fn get_deployment(&self, id: &CiId, deployment: Uuid) -> Result<SimDeployment, ClientError> {
        self.0.get(&customer(id, &format!("/deployments/{deployment}")), &[]).await
    }

    pub async fn get_customer_health(&self, id: &CiId) -> Result<CustomerHealth, ClientError> {
        self.0.get(&customer(id, "/health"), &[]).await
    }
}

fn customer(id: &CiId, rest: &str) -> String {
    format!("/sim/customers/{id}{rest}")
}
