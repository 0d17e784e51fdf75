-- Changes with their approvals, incidents, problems, and the outbox of notifications.
--
-- Ids that people read aloud (`CHG0000001`) are made of the row's number; lists are paged by that number.

CREATE TABLE itsm.changes (
    number              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  text NOT NULL UNIQUE
                        GENERATED ALWAYS AS ('CHG' || lpad(number::text, greatest(7, length(number::text)), '0')) STORED,
    kind                text NOT NULL CHECK (kind IN ('standard', 'normal', 'emergency')),
    state               text NOT NULL CHECK (state IN ('draft', 'pending_approval', 'approved', 'in_progress',
                                                       'completed', 'failed', 'rejected', 'cancelled')),
    short_description   text NOT NULL,
    description         text NOT NULL,
    risk                text NOT NULL CHECK (risk IN ('low', 'moderate', 'high', 'very_high')),
    requested_by        text NOT NULL,
    -- Who sent the request: the requester, or a service on the requester's behalf.
    opened_by           text NOT NULL,
    edited_by           text[] NOT NULL DEFAULT '{}',
    assignment_group    text,
    -- Sorted, without doubles.
    ci_ids              text[] NOT NULL CHECK (cardinality(ci_ids) > 0),
    plan_hash           text CHECK (plan_hash ~ '^[0-9a-f]{64}$'),
    start_at            timestamptz NOT NULL,
    end_at              timestamptz NOT NULL CHECK (end_at > start_at),
    implementation_plan text NOT NULL,
    backout_plan        text NOT NULL,
    test_plan           text NOT NULL,
    template            text,
    approver_emails     text[] NOT NULL,
    evidence            jsonb NOT NULL,
    close_evidence      jsonb,
    review_due_at       timestamptz,
    close_code          text CHECK (close_code IN ('successful', 'successful_issues', 'unsuccessful')),
    close_notes         text,
    work_start          timestamptz,
    work_end            timestamptz,
    version             bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
);
CREATE INDEX changes_state ON itsm.changes (state, number);
CREATE INDEX changes_requester ON itsm.changes (requested_by, number);
CREATE INDEX changes_cis ON itsm.changes USING gin (ci_ids);

CREATE TABLE itsm.approvals (
    sequence        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_number   bigint NOT NULL REFERENCES itsm.changes,
    approver        text NOT NULL,
    decision        text NOT NULL CHECK (decision IN ('approved', 'rejected')),
    comment         text NOT NULL,
    -- What was decided on; the approval is void for anything else.
    plan_hash       text,
    ci_ids          text[] NOT NULL,
    start_at        timestamptz NOT NULL,
    end_at          timestamptz NOT NULL,
    decided_at      timestamptz NOT NULL,
    voided_at       timestamptz
);
CREATE INDEX approvals_change ON itsm.approvals (change_number, sequence);

CREATE TABLE itsm.problems (
    number              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  text NOT NULL UNIQUE
                        GENERATED ALWAYS AS ('PRB' || lpad(number::text, greatest(7, length(number::text)), '0')) STORED,
    state               text NOT NULL CHECK (state IN ('open', 'known_error', 'resolved')),
    short_description   text NOT NULL,
    description         text NOT NULL,
    root_cause          text,
    workaround          text,
    version             bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
);

CREATE TABLE itsm.incidents (
    number              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  text NOT NULL UNIQUE
                        GENERATED ALWAYS AS ('INC' || lpad(number::text, greatest(7, length(number::text)), '0')) STORED,
    state               text NOT NULL CHECK (state IN ('open', 'in_progress', 'resolved')),
    short_description   text NOT NULL,
    description         text NOT NULL,
    severity            text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    ci_ids              text[] NOT NULL,
    change_id           text REFERENCES itsm.changes (id),
    -- The caller's own name for what happened: one incident each, however often it is reported.
    correlation_id      text UNIQUE,
    problem_id          text REFERENCES itsm.problems (id),
    opened_by           text NOT NULL,
    assigned_to         text,
    resolution          text,
    version             bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    resolved_at         timestamptz
);
CREATE INDEX incidents_state ON itsm.incidents (state, number);
CREATE INDEX incidents_change ON itsm.incidents (change_id, number);
CREATE INDEX incidents_problem ON itsm.incidents (problem_id, number);
CREATE INDEX incidents_cis ON itsm.incidents USING gin (ci_ids);

-- The outbox. A row is written in the transaction of what it tells of, and delivered by whoever holds its lease.
CREATE TABLE itsm.notifications (
    id              uuid PRIMARY KEY,
    channel         text NOT NULL CHECK (channel IN ('email', 'webhook')),
    recipient       text NOT NULL,
    subject         text NOT NULL,
    body            text NOT NULL,
    dedupe_key      text UNIQUE,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    -- By the clock of this server; set exactly as long as the delivery is pending.
    next_attempt_at timestamptz CHECK ((next_attempt_at IS NOT NULL) = (state = 'pending')),
    last_error      text,
    created_at      timestamptz NOT NULL,
    delivered_at    timestamptz,
    lease_owner     uuid,
    lease_epoch     bigint NOT NULL DEFAULT 0
);
CREATE INDEX notifications_due ON itsm.notifications (next_attempt_at) WHERE state = 'pending';
CREATE INDEX notifications_state ON itsm.notifications (state, id);
