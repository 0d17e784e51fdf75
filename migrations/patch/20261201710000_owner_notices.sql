-- What owners of hosts were notified of before a run begins.
CREATE TABLE patch.owner_notices (
    run_id       uuid PRIMARY KEY REFERENCES patch.runs (id),
    begins_at    timestamptz NOT NULL,
    -- The least hours before the beginning for which a notice was sent.
    least_hours  int,
    -- Nothing follows.
    closed       boolean NOT NULL DEFAULT false
);
CREATE INDEX owner_notices_open ON patch.owner_notices (run_id) WHERE NOT closed;
