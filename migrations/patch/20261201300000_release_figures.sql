-- Lines whose base was released elsewhere: a patch may be based on it although no customer runs it.
CREATE TABLE patch.release_lines (
    base_version text PRIMARY KEY,
    note         text NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL
);

-- The issues that a release resolves, as a list of texts.
ALTER TABLE patch.releases ADD COLUMN resolves jsonb NOT NULL DEFAULT '[]';

-- What the customer ran when it reported; null in older reports.
ALTER TABLE patch.customer_reports ADD COLUMN customer_version text;

-- The samples themselves are kept for two weeks only.
ALTER TABLE patch.deployments
    ADD COLUMN baseline_latency_ms double precision,
    ADD COLUMN latency_sum_ms      double precision NOT NULL DEFAULT 0,
    ADD COLUMN latency_samples     bigint NOT NULL DEFAULT 0;

CREATE TABLE patch.customer_ratings (
    customer        text NOT NULL,
    release_version text NOT NULL REFERENCES patch.releases (release_version),
    score           smallint NOT NULL CHECK (score BETWEEN 1 AND 5),
    comment         text NOT NULL,
    rated_by        text NOT NULL,
    rated_at        timestamptz NOT NULL,
    PRIMARY KEY (customer, release_version)
);
