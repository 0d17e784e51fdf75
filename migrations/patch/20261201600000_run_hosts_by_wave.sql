-- Reads the hosts of a run page by page: wave by wave, those without a wave last.
CREATE INDEX run_hosts_by_wave ON patch.run_hosts (run_id, coalesce(wave, 2147483647), ci_id);
