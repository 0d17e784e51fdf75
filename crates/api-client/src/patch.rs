//! The patch-manager: compliance, policies, runs, plans, advisories, exceptions, calendars.

mod feeds;

use std::time::Duration;

use api_types::access::Outcome;
use api_types::patch::{
    AdvisoryDetail, AdvisoryHistory, AdvisoryImport, AdvisoryImportStatus, AdvisorySummary, ApprovePolicy,
    AskFreezes, Calendar, CiCompliance, ComplianceDay, ComplianceSummary, ConfirmInstallation,
    CreateCalendar, CreateException, Diagnosis, Exception, FreezeConflicts, HostCompliance, HostStatus,
    Installation, InstalledOn, Inventory, InventoryReport, LogLine, PendingPackage, PlanComparison,
    PolicyPreview, PolicyVersion, PredictionLedger, PreviewPolicy, ReleaseCoverage, Remediate, RunDetail,
    RunDiff, RunReport, RunSummary, RunTrace, Scan, SearchResults, ServiceLevels, SimulatePlans, StartRun,
    StartScan, Steer, StoredPolicy, TimelinessReport, TracePlan, UnfixedVulnerability, WaveStatus,
};
use domain::{
    ids::{CiId, PolicyId, RunId, ScanId},
    plan::Plan,
    policy::Policy,
};
use reqwest::Response;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    client::{ClientError, service_client},
    segment,
};

service_client! {
    /// One method per verb of the patch-manager. Filters are its query parameters: `("state", "executing".to_owned())`.
    PatchClient, "patch-manager"
}

impl PatchClient {
    /// Compliance of the fleet, by every dimension.
    pub async fn get_compliance(&self) -> Result<ComplianceSummary, ClientError> {
        self.0.get("/patch/compliance", &[]).await
    }

    /// Remediation in the last `months`; a year if `None`.
    pub async fn get_timeliness(&self, months: Option<u32>) -> Result<TimelinessReport, ClientError> {
        let query: Vec<_> = months.map(|months| ("months", months.to_string())).into_iter().collect();
        self.0.get("/patch/compliance/timeliness", &query).await
    }

    /// The identity of the installation, and whether its database was restored or copied.
    pub async fn get_installation(&self) -> Result<Installation, ClientError> {
        self.0.get("/patch/installation", &[]).await
    }

    /// Confirms that work may continue with this database.
    pub async fn confirm_installation(
        &self,
        request: &ConfirmInstallation,
    ) -> Result<Installation, ClientError> {
        self.0.post("/patch/installation/confirm", request).await
    }

    pub async fn get_service_levels(&self) -> Result<ServiceLevels, ClientError> {
        self.0.get("/patch/service-levels", &[]).await
    }

    pub async fn set_service_levels(
        &self,
        levels: &ServiceLevels,
    ) -> Result<Outcome<ServiceLevels>, ClientError> {
        self.0.put("/patch/service-levels", levels).await
    }

    pub async fn get_ci_compliance(&self, id: &CiId) -> Result<CiCompliance, ClientError> {
        self.0.get(&format!("/patch/compliance/{id}"), &[]).await
    }

    /// The vulnerabilities of a CI without a fix, up to `most`.
    pub async fn list_unfixed(
        &self,
        id: &CiId,
        most: usize,
    ) -> Result<Vec<UnfixedVulnerability>, ClientError> {
        self.0.get_all(&format!("/patch/compliance/{id}/unfixed"), &[], most).await
    }

    /// What the imported feeds know of each release, up to `most` releases.
    pub async fn list_coverage(&self, most: usize) -> Result<Vec<ReleaseCoverage>, ClientError> {
        self.0.get_all("/patch/coverage", &[], most).await
    }

    /// Hosts with their compliance, up to `most`.
    pub async fn list_host_compliance(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<HostCompliance>, ClientError> {
        self.0.get_all("/patch/compliance/hosts", filter, most).await
    }

    /// Compliance by day, newest first, up to `most`.
    pub async fn list_compliance_history(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<ComplianceDay>, ClientError> {
        self.0.get_all("/patch/compliance/history", filter, most).await
    }

    /// What a host is missing, by package, up to `most`.
    pub async fn list_pending_packages(
        &self,
        id: &CiId,
        most: usize,
    ) -> Result<Vec<PendingPackage>, ClientError> {
        self.0.get_all(&format!("/patch/compliance/{id}/packages"), &[], most).await
    }

    /// The hosts that have a package, up to `most`.
    pub async fn list_installed(
        &self,
        package: &str,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<InstalledOn>, ClientError> {
        self.0.get_all(&format!("/patch/packages/{}", segment(package)), filter, most).await
    }

    /// Starts a scan; [`Self::get_scan`] returns its state.
    pub async fn start_scan(&self, request: &StartScan) -> Result<Scan, ClientError> {
        self.0.post("/patch/compliance/scan", request).await
    }

    pub async fn get_scan(&self, id: ScanId) -> Result<Scan, ClientError> {
        self.0.get(&format!("/patch/compliance/scans/{id}"), &[]).await
    }

    /// The whole table as text; `format` is `csv`, `json` or `ndjson`.
    pub async fn export_compliance(
        &self,
        format: &str,
        filter: &[(&str, String)],
    ) -> Result<String, ClientError> {
        let mut query = vec![("format", format.to_owned())];
        query.extend_from_slice(filter);
        self.0.get_text("/patch/compliance/export", &query).await
    }

    pub async fn push_inventory(&self, inventory: &Inventory) -> Result<InventoryReport, ClientError> {
        self.0.post("/patch/inventory", inventory).await
    }

    /// Pushes another tool's inventory of one host; `query` describes the host (`ci_id`, `os`, ...).
    pub async fn push_foreign_inventory(
        &self,
        content_type: &str,
        query: &[(&str, String)],
        content: Vec<u8>,
    ) -> Result<InventoryReport, ClientError> {
        let pairs = query.iter().map(|(key, value)| format!("{key}={}", segment(value)));
        let path = format!("/patch/inventory?{}", pairs.collect::<Vec<_>>().join("&"));
        self.0.post_bytes(&path, content_type, content).await
    }

    /// Pushes many inventories, one JSON object per line.
    pub async fn push_inventories(&self, ndjson: Vec<u8>) -> Result<InventoryReport, ClientError> {
        self.0.post_bytes("/patch/inventory", "application/x-ndjson", ndjson).await
    }

    pub async fn create_policy(&self, policy: &Policy) -> Result<StoredPolicy, ClientError> {
        self.0.post("/patch/policies", policy).await
    }

    pub async fn get_policy(&self, id: &PolicyId) -> Result<StoredPolicy, ClientError> {
        self.0.get(&format!("/patch/policies/{id}"), &[]).await
    }

    /// In the order of their ids, up to `most`.
    pub async fn list_policies(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<StoredPolicy>, ClientError> {
        self.0.get_all("/patch/policies", filter, most).await
    }

    /// Changes the fields that `patch` names; the others stay.
    pub async fn update_policy(
        &self,
        id: &PolicyId,
        patch: &Value,
        etag: Option<&str>,
    ) -> Result<StoredPolicy, ClientError> {
        self.0.patch(&format!("/patch/policies/{id}"), patch, etag).await
    }

    pub async fn approve_policy(
        &self,
        id: &PolicyId,
        request: &ApprovePolicy,
    ) -> Result<StoredPolicy, ClientError> {
        self.0.post(&format!("/patch/policies/{id}/approve"), request).await
    }

    pub async fn delete_policy(&self, id: &PolicyId) -> Result<(), ClientError> {
        self.0.delete(&format!("/patch/policies/{id}")).await
    }

    pub async fn preview_policy(&self, id: &PolicyId) -> Result<PolicyPreview, ClientError> {
        self.0.get(&format!("/patch/policies/{id}/preview"), &[]).await
    }

    /// The preview, and the dry run that checks the hosts.
    pub async fn preflight_policy(&self, id: &PolicyId) -> Result<PolicyPreview, ClientError> {
        let request = PreviewPolicy { preflight: true, ..PreviewPolicy::default() };
        self.0.post(&format!("/patch/policies/{id}/preview"), &request).await
    }

    /// The preview, with what changes of the policy would do to the baselines of its hosts. Nothing is changed.
    pub async fn preview_policy_changes(
        &self,
        id: &PolicyId,
        changes: Map<String, Value>,
    ) -> Result<PolicyPreview, ClientError> {
        let request = PreviewPolicy { changes: Some(changes), ..PreviewPolicy::default() };
        self.0.post(&format!("/patch/policies/{id}/preview"), &request).await
    }

    pub async fn start_run(&self, request: &StartRun) -> Result<RunSummary, ClientError> {
        self.0.post("/patch/runs", request).await
    }

    pub async fn get_run(&self, id: RunId) -> Result<RunDetail, ClientError> {
        self.0.get(&format!("/patch/runs/{id}"), &[]).await
    }

    /// The approved plan compared with the one made right before the work.
    pub async fn get_run_diff(&self, id: RunId) -> Result<RunDiff, ClientError> {
        self.0.get(&format!("/patch/runs/{id}/diff"), &[]).await
    }

    /// Newest first, up to `most`.
    pub async fn list_runs(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<RunSummary>, ClientError> {
        self.0.get_all("/patch/runs", filter, most).await
    }

    /// Opens the stream of a run's events (server-sent, each a CloudEvent) after `last_event_id`.
    pub async fn open_run_events(
        &self,
        id: RunId,
        last_event_id: Option<&str>,
    ) -> Result<Response, ClientError> {
        let mut headers = vec![("Accept", "text/event-stream".to_owned())];
        headers.extend(last_event_id.map(|last| ("Last-Event-ID", last.to_owned())));
        self.0.open(&format!("/patch/runs/{id}/events"), &headers).await
    }

    /// What its change requests approval of. Not found until the run is planned.
    pub async fn get_run_plan(&self, id: RunId) -> Result<Plan, ClientError> {
        self.0.get(&format!("/patch/runs/{id}/plan"), &[]).await
    }

    /// In their order, up to `most`.
    pub async fn list_run_waves(&self, id: RunId, most: usize) -> Result<Vec<WaveStatus>, ClientError> {
        self.0.get_all(&format!("/patch/runs/{id}/waves"), &[], most).await
    }

    /// Wave by wave, up to `most`.
    pub async fn list_run_hosts(
        &self,
        id: RunId,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<HostStatus>, ClientError> {
        self.0.get_all(&format!("/patch/runs/{id}/hosts"), filter, most).await
    }

    /// The last lines of the log, oldest first; `lines` is 1 to 1000.
    pub async fn get_run_log_tail(&self, id: RunId, lines: u32) -> Result<Vec<LogLine>, ClientError> {
        let query = [("format", "ndjson".to_owned()), ("tail", lines.to_string())];
        self.0.get_lines(&format!("/patch/runs/{id}/logs"), &query).await
    }

    /// The whole log; `format` is `text` or `ndjson`.
    pub async fn get_run_logs(&self, id: RunId, format: &str) -> Result<String, ClientError> {
        self.0.get_text(&format!("/patch/runs/{id}/logs"), &[("format", format.to_owned())]).await
    }

    pub async fn get_run_report(&self, id: RunId) -> Result<RunReport, ClientError> {
        self.0.get(&format!("/patch/runs/{id}/report"), &[]).await
    }

    /// The report as text; `format` is `markdown`, `csv` or `json`.
    pub async fn get_run_report_as(&self, id: RunId, format: &str) -> Result<String, ClientError> {
        self.0.get_text(&format!("/patch/runs/{id}/report"), &[("format", format.to_owned())]).await
    }

    pub async fn cancel_run(&self, id: RunId, request: &Steer) -> Result<RunSummary, ClientError> {
        self.steer(id, "cancel", request).await
    }

    pub async fn pause_run(&self, id: RunId, request: &Steer) -> Result<RunSummary, ClientError> {
        self.steer(id, "pause", request).await
    }

    pub async fn resume_run(&self, id: RunId, request: &Steer) -> Result<RunSummary, ClientError> {
        self.steer(id, "resume", request).await
    }

    /// Retries the failed hosts: within a paused run, or in a new run if the run has ended.
    pub async fn retry_failed(&self, id: RunId, request: &Steer) -> Result<RunSummary, ClientError> {
        self.steer(id, "retry-failed", request).await
    }

    /// Rolls hosts back to their snapshots: within an open run, or in a new run if the run has ended.
    pub async fn rollback_run(&self, id: RunId, request: &Steer) -> Result<RunSummary, ClientError> {
        self.steer(id, "rollback", request).await
    }

    /// Leaves out a host on which the work has not begun, or does not try a failed one again.
    pub async fn skip_host(
        &self,
        id: RunId,
        host: &CiId,
        request: &Steer,
    ) -> Result<RunSummary, ClientError> {
        self.steer(id, &format!("hosts/{host}/skip"), request).await
    }

    pub async fn simulate_plans(&self, request: &SimulatePlans) -> Result<PlanComparison, ClientError> {
        self.0.post("/patch/plans/simulate", request).await
    }

    /// One play of the plan that a run would have now.
    pub async fn trace_plan(&self, request: &TracePlan) -> Result<RunTrace, ClientError> {
        self.0.post("/patch/plans/trace", request).await
    }

    /// What a run that has ended did.
    pub async fn get_run_trace(&self, id: RunId) -> Result<RunTrace, ClientError> {
        self.0.get(&format!("/patch/runs/{id}/trace"), &[]).await
    }

    /// What the patch-manager sees of its machine and its database.
    pub async fn get_diagnosis(&self) -> Result<Diagnosis, ClientError> {
        self.0.get("/patch/diagnosis", &[]).await
    }

    /// Hosts, CVEs, packages, runs, changes and customers by a few characters.
    pub async fn search(&self, filter: &[(&str, String)]) -> Result<SearchResults, ClientError> {
        self.0.get("/patch/search", filter).await
    }

    /// The versions of a policy with their differences, newest first, up to `most`.
    pub async fn list_policy_versions(
        &self,
        id: &PolicyId,
        most: usize,
    ) -> Result<Vec<PolicyVersion>, ClientError> {
        self.0.get_all(&format!("/patch/policies/{id}/versions"), &[], most).await
    }

    /// How many hosts missed an advisory or a CVE in the last `days`.
    pub async fn get_advisory_history(&self, id: &str, days: u32) -> Result<AdvisoryHistory, ClientError> {
        let query = [("days", days.to_string())];
        self.0.get(&format!("/patch/advisories/{}/history", segment(id)), &query).await
    }

    /// Predictions of runs that have ended, newest first, up to `most`; the calibration covers more than these.
    pub async fn list_predictions(&self, most: usize) -> Result<PredictionLedger, ClientError> {
        let mut ledger = PredictionLedger { calibration: None, items: Vec::new(), next_page_token: None };
        loop {
            let wanted = (most - ledger.items.len()).min(1000);
            let mut query = vec![("limit", wanted.to_string())];
            query.extend(ledger.next_page_token.take().map(|token| ("page_token", token)));
            let page: PredictionLedger = self.0.get("/patch/predictions", &query).await?;
            ledger.items.extend(page.items);
            ledger.calibration = ledger.calibration.or(page.calibration);
            ledger.next_page_token = page.next_page_token;
            if ledger.next_page_token.is_none() || ledger.items.len() >= most {
                ledger.items.truncate(most);
                return Ok(ledger);
            }
        }
    }

    /// Newest first, up to `most`.
    pub async fn list_advisories(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<AdvisorySummary>, ClientError> {
        self.0.get_all("/patch/advisories", filter, most).await
    }

    /// An advisory or a CVE, with the first page of the CIs it affects; `page_token` requests the next.
    pub async fn get_advisory(
        &self,
        id: &str,
        page_token: Option<&str>,
    ) -> Result<AdvisoryDetail, ClientError> {
        let query: Vec<_> = page_token.map(|token| ("page_token", token.to_owned())).into_iter().collect();
        self.0.get(&format!("/patch/advisories/{}", segment(id)), &query).await
    }

    /// Sends a feed, whose format is recognised by its content, and does not wait until it is imported.
    pub async fn start_import(
        &self,
        content_type: &str,
        content: Vec<u8>,
    ) -> Result<AdvisoryImport, ClientError> {
        self.0.post_bytes("/patch/advisories/import?wait_seconds=0", content_type, content).await
    }

    pub async fn get_import(&self, id: Uuid) -> Result<AdvisoryImport, ClientError> {
        self.0.get(&format!("/patch/advisories/imports/{id}"), &[]).await
    }

    pub async fn list_imports(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<AdvisoryImport>, ClientError> {
        self.0.get_all("/patch/advisories/imports", filter, most).await
    }

    /// Imports a feed and waits until it has ended; `report` receives its progress.
    pub async fn import_advisories(
        &self,
        content_type: &str,
        content: Vec<u8>,
        mut report: impl FnMut(&AdvisoryImport),
    ) -> Result<AdvisoryImport, ClientError> {
        const ASK_EVERY: Duration = Duration::from_millis(200);
        let mut import = self.start_import(content_type, content).await?;
        while import.status == AdvisoryImportStatus::Running {
            report(&import);
            tokio::time::sleep(ASK_EVERY).await;
            import = self.get_import(import.id).await?;
        }
        report(&import);
        Ok(import)
    }

    pub async fn remediate_advisory(&self, id: &str, request: &Remediate) -> Result<RunSummary, ClientError> {
        self.0.post(&format!("/patch/advisories/{}/remediate", segment(id)), request).await
    }

    pub async fn create_exception(
        &self,
        request: &CreateException,
    ) -> Result<Outcome<Exception>, ClientError> {
        self.0.post("/patch/exceptions", request).await
    }

    pub async fn list_exceptions(
        &self,
        filter: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<Exception>, ClientError> {
        self.0.get_all("/patch/exceptions", filter, most).await
    }

    pub async fn delete_exception(&self, id: Uuid) -> Result<(), ClientError> {
        self.0.delete(&format!("/patch/exceptions/{id}")).await
    }

    pub async fn create_calendar(&self, request: &CreateCalendar) -> Result<Outcome<Calendar>, ClientError> {
        self.0.post("/patch/calendars", request).await
    }

    /// The freezes of CIs in a time span.
    pub async fn find_freezes(&self, request: &AskFreezes) -> Result<FreezeConflicts, ClientError> {
        self.0.post("/patch/calendars/conflicts", request).await
    }

    pub async fn get_calendar(&self, id: Uuid) -> Result<Calendar, ClientError> {
        self.0.get(&format!("/patch/calendars/{id}"), &[]).await
    }

    /// The calendar as iCalendar text.
    pub async fn get_calendar_ical(&self, id: Uuid) -> Result<String, ClientError> {
        self.0.get_text(&format!("/patch/calendars/{id}"), &[("format", "ical".to_owned())]).await
    }

    pub async fn list_calendars(&self, most: usize) -> Result<Vec<Calendar>, ClientError> {
        self.0.get_all("/patch/calendars", &[], most).await
    }

    pub async fn delete_calendar(&self, id: Uuid) -> Result<Outcome<()>, ClientError> {
        self.0.delete_or_propose(&format!("/patch/calendars/{id}")).await
    }

    async fn steer(&self, id: RunId, verb: &str, request: &Steer) -> Result<RunSummary, ClientError> {
        self.0.post(&format!("/patch/runs/{id}/{verb}"), request).await
    }
}
