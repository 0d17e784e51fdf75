-- Which services of a host still run files that an update has replaced: at its last scan, and when a run ended its work on it.
-- A default that is a constant adds the column without a rewrite of the table.
ALTER TABLE patch.host_scans ADD COLUMN stale_services jsonb NOT NULL DEFAULT '{"state": "not_checked"}';
ALTER TABLE patch.run_hosts ADD COLUMN stale_services jsonb;
