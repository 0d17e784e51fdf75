-- Until when the driver keeps each snapshot of a run, as the driver said when it was taken.
CREATE TABLE patch.run_snapshots (
    snapshot_id  uuid PRIMARY KEY,
    run_id       uuid NOT NULL REFERENCES patch.runs (id),
    ci_id        text NOT NULL,
    expires_at   timestamptz NOT NULL
);

-- Snapshots of before that may still exist count as kept for the time of their plan, from the start of their run.
INSERT INTO patch.run_snapshots (snapshot_id, run_id, ci_id, expires_at)
SELECT DISTINCT ON (hosts.snapshot_id) hosts.snapshot_id, runs.id, hosts.ci_id,
    runs.started_at + make_interval(hours => (plans.plan->>'snapshot_retention_hours')::integer)
FROM patch.runs runs
JOIN patch.plans plans ON plans.run_id = runs.id
JOIN patch.run_hosts hosts ON hosts.run_id = runs.id
WHERE hosts.snapshot_id IS NOT NULL
    AND runs.started_at + make_interval(hours => (plans.plan->>'snapshot_retention_hours')::integer) > now()
ORDER BY hosts.snapshot_id, runs.started_at;
