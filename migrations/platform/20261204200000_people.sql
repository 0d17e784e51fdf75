-- People with their verified addresses, and writes that wait for a second person.

CREATE TABLE platform.people (
    subject      text PRIMARY KEY,
    roles        text[] NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    updated_by   text NOT NULL,
    confirmed_by text,
    -- Whether the record ever had the role. A removed record stays, too: whether there was an approver before must not
    -- depend on what an administrator deleted.
    was_approver boolean NOT NULL,
    removed_at   timestamptz
);

-- An address decides as one person, or as nobody.
CREATE TABLE platform.person_addresses (
    address text PRIMARY KEY CHECK (address = lower(address)),
    subject text NOT NULL REFERENCES platform.people
);
CREATE INDEX person_addresses_subject ON platform.person_addresses (subject);

CREATE TABLE platform.proposals (
    id          uuid PRIMARY KEY,
    proposed    jsonb NOT NULL,
    proposed_by text NOT NULL,
    proposed_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'confirmed', 'rejected')),
    decided_by  text,
    decided_at  timestamptz,
    CHECK ((state = 'pending') = (decided_at IS NULL))
);

-- Empty for tokens from files, and for those issued before.
ALTER TABLE platform.tokens ADD COLUMN created_by text, ADD COLUMN confirmed_by text;
