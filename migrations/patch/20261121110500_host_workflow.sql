-- The workflow of a host, step by step; what recipients are told of it; reboots that one run leaves to the next.

ALTER TABLE patch.run_hosts ADD COLUMN failed_step text;

CREATE TABLE patch.run_host_steps (
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    ci_id       text NOT NULL,
    attempt     integer NOT NULL,
    step        text NOT NULL,
    -- Where the step stands in the workflow.
    position    smallint NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'passed_over', 'skipped')),
    tries       integer NOT NULL DEFAULT 1,
    detail      text,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (run_id, ci_id, attempt, step)
);

-- Written in the transaction of what it tells of, handed to ITSM afterwards; ITSM knows it by its key.
CREATE TABLE patch.notices (
    key         text PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    recipient   text NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL,
    handed_over_at timestamptz
);
CREATE INDEX notices_due ON patch.notices (created_at) WHERE handed_over_at IS NULL;

-- A host that two runs have to reboot in one window is rebooted by the later one.
CREATE TABLE patch.reboots_left (
    ci_id       text NOT NULL,
    run_id      uuid NOT NULL REFERENCES patch.runs (id),
    -- Who reboots it.
    left_to     uuid NOT NULL REFERENCES patch.runs (id),
    -- `if_required` or `always`, as the plan of `run_id` says.
    reboot      text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (ci_id, run_id)
);
CREATE INDEX reboots_left_to ON patch.reboots_left (left_to);

-- The run was given a Vault token of its own, which lies in a file beside its other files and nowhere else.
ALTER TABLE patch.runs ADD COLUMN holds_vault_token boolean NOT NULL DEFAULT false;
