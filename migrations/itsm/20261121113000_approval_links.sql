-- One-time links by which approvers decide from an e-mail, and reviews of emergency changes.

CREATE TABLE itsm.approval_links (
    id              uuid PRIMARY KEY,
    change_number   bigint NOT NULL REFERENCES itsm.changes,
    approver        text NOT NULL,
    -- What the link was sent for; it is worth nothing for anything else.
    plan_hash       text,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    -- By an edit of the change, or because another link of the same approver took its place.
    voided_at       timestamptz
);
CREATE INDEX approval_links_change ON itsm.approval_links (change_number);

-- The link itself is made when the e-mail leaves: what is stored and shown of it decides nothing.
ALTER TABLE itsm.notifications ADD COLUMN approval_link uuid REFERENCES itsm.approval_links;

ALTER TABLE itsm.changes ADD COLUMN reviewed_by text, ADD COLUMN reviewed_at timestamptz, ADD COLUMN review_notes text;
