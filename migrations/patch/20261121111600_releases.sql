-- Product releases to customers. A rollout is a run like any other; these tables hold what is particular to it.

CREATE TABLE patch.customers (
    slug             text PRIMARY KEY,
    name             text NOT NULL,
    tier             text NOT NULL,
    -- The customer as an operator wrote it. Its version stands in the column: rollouts move that, not the file.
    body             jsonb NOT NULL,
    current_version  text NOT NULL,
    version          bigint NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    updated_by       text NOT NULL
);
CREATE UNIQUE INDEX customers_name ON patch.customers (lower(name));
CREATE INDEX customers_tier ON patch.customers (tier, slug);

-- One row: the table of delays, approvals, notices and rollback windows, when it is not the default.
CREATE TABLE patch.release_policies (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    body       jsonb NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);

CREATE TABLE patch.releases (
    release_version   text PRIMARY KEY,
    major             integer NOT NULL,
    minor             integer NOT NULL,
    patch             integer NOT NULL,
    kind              text NOT NULL,
    urgency           text NOT NULL,
    base_version      text NOT NULL,
    notes             text NOT NULL,
    artefact          text,
    rollback_artefact text,
    checklist         jsonb NOT NULL,
    -- When the problem that it mends was found: time to resolution counts from here.
    identified_at     timestamptz NOT NULL,
    version           bigint NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    created_by        text NOT NULL
);
CREATE INDEX releases_order ON patch.releases (major, minor, patch);

-- What a run that deploys was asked for.
CREATE TABLE patch.release_runs (
    run_id          uuid PRIMARY KEY REFERENCES patch.runs (id),
    release_version text NOT NULL REFERENCES patch.releases (release_version),
    mode            text NOT NULL,
    request         jsonb NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX release_runs_release ON patch.release_runs (release_version, created_at);

-- A customer's way to a version, recorded before the deployer is called.
CREATE TABLE patch.deployments (
    id               uuid PRIMARY KEY,
    customer         text NOT NULL,
    run_id           uuid NOT NULL REFERENCES patch.runs (id),
    attempt          integer NOT NULL,
    direction        text NOT NULL,
    release_version  text NOT NULL,
    from_version     text NOT NULL,
    to_version       text NOT NULL,
    state            text NOT NULL,
    progress_percent integer NOT NULL DEFAULT 0,
    detail           text,
    -- What the deployer said was there before.
    previous_version text,
    requested_at     timestamptz NOT NULL,
    ended_at         timestamptz,
    -- Taken back later, and by which deployment.
    rolled_back_by   uuid REFERENCES patch.deployments (id),
    downtime_seconds double precision NOT NULL DEFAULT 0,
    UNIQUE (run_id, customer, attempt, direction)
);
CREATE INDEX deployments_customer ON patch.deployments (customer, requested_at);
CREATE INDEX deployments_release ON patch.deployments (release_version, requested_at);

-- The watch over a customer after its deployment.
CREATE TABLE patch.customer_watches (
    customer       text PRIMARY KEY,
    deployment_id  uuid NOT NULL REFERENCES patch.deployments (id),
    run_id         uuid NOT NULL REFERENCES patch.runs (id),
    baseline       jsonb,
    judge          jsonb NOT NULL,
    state          text NOT NULL,
    reason         text,
    since          timestamptz NOT NULL,
    until          timestamptz NOT NULL,
    next_look_at   timestamptz NOT NULL,
    last_look_at   timestamptz,
    handled_at     timestamptz
);
CREATE INDEX customer_watches_due ON patch.customer_watches (next_look_at) WHERE state <> 'ended';

CREATE TABLE patch.health_samples (
    customer  text NOT NULL,
    at        timestamptz NOT NULL,
    sample    jsonb NOT NULL,
    judgement text NOT NULL,
    reason    text,
    PRIMARY KEY (customer, at)
);

CREATE TABLE patch.customer_reports (
    id          uuid PRIMARY KEY,
    customer    text NOT NULL,
    severity    text NOT NULL,
    summary     text NOT NULL,
    reported_by text NOT NULL,
    reported_at timestamptz NOT NULL
);
CREATE INDEX customer_reports_customer ON patch.customer_reports (customer, reported_at);

CREATE TABLE patch.release_notices (
    run_id   uuid NOT NULL REFERENCES patch.runs (id),
    customer text NOT NULL,
    kind     text NOT NULL,
    sent_at  timestamptz NOT NULL,
    PRIMARY KEY (run_id, customer, kind)
);

CREATE TABLE patch.release_checks (
    run_id     uuid NOT NULL REFERENCES patch.runs (id),
    wave       integer NOT NULL,
    name       text NOT NULL,
    kind       text NOT NULL,
    -- running, passed, failed, inconclusive
    result     text NOT NULL,
    log        text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (run_id, wave, name)
);

CREATE TABLE patch.release_signoffs (
    release_version text NOT NULL REFERENCES patch.releases (release_version),
    signed_by       text NOT NULL,
    reason          text NOT NULL,
    signed_at       timestamptz NOT NULL,
    PRIMARY KEY (release_version, signed_by)
);
