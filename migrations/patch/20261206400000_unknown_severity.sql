-- A fix whose vendor gives no severity has the severity `unknown`; it counted as `none`.

-- All advisories are read, however long that takes.
SET LOCAL statement_timeout = 0;

-- The results of hosts that lack such a fix are computed again.
INSERT INTO patch.due_hosts
    SELECT DISTINCT f.host_id FROM patch.advisories a JOIN patch.affected f ON f.advisory_no = a.no WHERE a.severity = 'unknown'
    ON CONFLICT DO NOTHING;
