-- Who signs in at the identity provider, and as which person. The row is never removed: a subject belongs to the one account that
-- signed in as it first, whatever the account is called later.
CREATE TABLE platform.identities (
    id       uuid PRIMARY KEY,
    issuer   text NOT NULL,
    sub      text NOT NULL,
    subject  text NOT NULL UNIQUE REFERENCES platform.people,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    UNIQUE (issuer, sub)
);

-- Sign-ins that have begun: the row is taken when the provider sends the browser back.
CREATE TABLE platform.pending_sign_ins (
    state_hash   bytea PRIMARY KEY CHECK (length(state_hash) = 32),
    browser_hash bytea NOT NULL CHECK (length(browser_hash) = 32),
    nonce        text NOT NULL,
    verifier     text NOT NULL,
    return_to    text NOT NULL,
    network      text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX pending_sign_ins_network ON platform.pending_sign_ins (network, created_at);

-- ID tokens that were exchanged, until they expire: each is accepted once.
CREATE TABLE platform.used_id_tokens (
    hash       bytea PRIMARY KEY CHECK (length(hash) = 32),
    expires_at timestamptz NOT NULL
);

-- The account at the provider that a session or token was issued for.
ALTER TABLE platform.tokens ADD COLUMN identity uuid REFERENCES platform.identities;
CREATE INDEX tokens_identity ON platform.tokens (identity, id) WHERE identity IS NOT NULL;
