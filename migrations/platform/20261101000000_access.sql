-- Who may do what, who did what, and which answers were given already: the same for every service.

CREATE TABLE platform.tokens (
    id          uuid PRIMARY KEY,
    -- SHA-256 of the token; the token itself is shown once and kept nowhere.
    hash        bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    subject     text NOT NULL,
    roles       text[] NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);

CREATE TABLE platform.audit_log (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    service     text NOT NULL,
    subject     text NOT NULL,
    token_id    uuid,
    action      text NOT NULL,
    object      text NOT NULL,
    before      jsonb,
    after       jsonb,
    reason      text,
    request_id  text
);
CREATE INDEX audit_log_object ON platform.audit_log (object, sequence);

-- Append-only: a record that can be changed proves nothing.
CREATE FUNCTION platform.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE ON platform.audit_log
    FOR EACH ROW EXECUTE FUNCTION platform.refuse_audit_change();

CREATE TABLE platform.idempotency_keys (
    service     text NOT NULL,
    subject     text NOT NULL,
    operation   text NOT NULL,
    key         text NOT NULL,
    body_hash   bytea NOT NULL,
    response    jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, subject, operation, key)
);
CREATE INDEX idempotency_keys_age ON platform.idempotency_keys (created_at);
