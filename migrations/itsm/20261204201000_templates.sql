-- Templates that approve standard changes are data: somebody owns each, and it expires.

CREATE TABLE itsm.templates (
    name           text PRIMARY KEY,
    description    text NOT NULL,
    max_risk       text NOT NULL,
    max_span_hours integer NOT NULL CHECK (max_span_hours > 0),
    owner          text NOT NULL,
    expires_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    updated_by     text NOT NULL,
    -- Empty: an administrator wrote it, and no approver has agreed yet.
    approved_by    text,
    approved_at    timestamptz
);

-- Those that were part of the program.
INSERT INTO itsm.templates (name, description, max_risk, max_span_hours, owner, expires_at, updated_at, updated_by,
    approved_by, approved_at)
VALUES
    ('monthly-baseline', 'scheduled installation of the month''s published updates by a policy, in its window', 'moderate',
        168, 'platform', now() + interval '365 days', now(), 'platform', 'platform', now()),
    ('product-release', 'rollout of a product''s patch release to customers, tier by tier, by its type''s rules', 'moderate',
        2400, 'platform', now() + interval '365 days', now(), 'platform', 'platform', now());

-- Who agreed that a template approves the work of this change.
ALTER TABLE itsm.changes ADD COLUMN preapproved_by text;
