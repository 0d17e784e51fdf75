-- Runs: what was asked for, what was decided, what was done, and what proves it.

CREATE TABLE patch.runs (
    id              uuid PRIMARY KEY,
    trigger         text NOT NULL,
    policy_id       text,
    advisory        text,
    selector        jsonb,
    strategy        text,
    dry_run         boolean NOT NULL,
    emergency       boolean NOT NULL,
    -- The run this one repeats or takes back.
    of_run          uuid REFERENCES patch.runs (id),
    -- The slot of the schedule it was started for: one run per policy and slot, however many replicas see it come.
    scheduled_for   timestamptz,
    requested_by    text NOT NULL,
    -- The policy as it was when the run was asked for: later edits change later runs.
    policy          jsonb NOT NULL,
    -- The state machine's memory, without its hosts.
    machine         jsonb NOT NULL,
    state           text NOT NULL,
    stage           text,
    reason          text,
    deadline        timestamptz,
    change_id       text,
    plan_hash       text,
    prediction      jsonb,
    compliance_before jsonb,
    compliance_after  jsonb,
    incident_id     text,
    max_hosts_down  integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    started_at      timestamptz,
    ended_at        timestamptz,
    lease_owner     uuid,
    lease_epoch     bigint NOT NULL DEFAULT 0,
    UNIQUE (policy_id, scheduled_for)
);
CREATE INDEX runs_open ON patch.runs (created_at) WHERE ended_at IS NULL;
CREATE INDEX runs_policy ON patch.runs (policy_id, id);

-- Up to which instant the slots of a schedule have been looked at.
CREATE TABLE patch.schedules (
    policy_id        text PRIMARY KEY,
    considered_until timestamptz NOT NULL
);

CREATE TABLE patch.plans (
    run_id      uuid PRIMARY KEY REFERENCES patch.runs (id),
    hash        text NOT NULL,
    plan        jsonb NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE FUNCTION patch.refuse_plan_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a plan is immutable';
END $$;
CREATE TRIGGER plan_is_immutable BEFORE UPDATE OR DELETE ON patch.plans
    FOR EACH ROW EXECUTE FUNCTION patch.refuse_plan_change();

CREATE TABLE patch.run_hosts (
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    ci_id       text NOT NULL,
    wave        integer,
    state       text NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    snapshot_id uuid,
    error       text,
    -- Boot under which the host's workflow was begun: a later attempt does not reboot it again.
    boot_id     text,
    changed     jsonb NOT NULL DEFAULT '[]',
    rebooted    boolean NOT NULL DEFAULT false,
    started_at  timestamptz,
    ended_at    timestamptz,
    PRIMARY KEY (run_id, ci_id)
);

-- A host is in the hands of one run at a time, from VALIDATE to the run's end.
CREATE TABLE patch.host_locks (
    ci_id       text PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    since       timestamptz NOT NULL
);
CREATE INDEX host_locks_run ON patch.host_locks (run_id);

-- Each action, recorded before it starts and after it ends.
CREATE TABLE patch.run_steps (
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    step        bigint NOT NULL,
    action      text NOT NULL,
    request     jsonb NOT NULL,
    -- How often it was begun: more than once after a crash.
    attempts    integer NOT NULL DEFAULT 0,
    epoch       bigint,
    -- The playbook at work, so that whoever takes over can end it: machine, pid, start time.
    process     jsonb,
    started_at  timestamptz,
    ended_at    timestamptz,
    answer      jsonb,
    PRIMARY KEY (run_id, step)
);

CREATE TABLE patch.run_events (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    at          timestamptz NOT NULL,
    type        text NOT NULL,
    subject     text,
    data        jsonb NOT NULL
);
CREATE INDEX run_events_run ON patch.run_events (run_id, sequence);

CREATE TABLE patch.run_log (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    at          timestamptz NOT NULL,
    ci_id       text,
    text        text NOT NULL
);
CREATE INDEX run_log_run ON patch.run_log (run_id, sequence);

CREATE TABLE patch.run_tests (
    run_id        uuid NOT NULL REFERENCES patch.runs (id),
    ci_id         text NOT NULL,
    test          text NOT NULL,
    before        boolean,
    before_detail text,
    after         boolean,
    after_detail  text,
    PRIMARY KEY (run_id, ci_id, test)
);
