-- A chain of hashes over the audit records of each service. A seal follows its record within seconds: a lock on the end of the
-- chain inside every transaction that writes a record would make all writes of a service wait for each other.
CREATE TABLE platform.audit_seals (
    service   text NOT NULL,
    position  bigint NOT NULL CHECK (position > 0),
    sequence  bigint NOT NULL UNIQUE,
    hash      bytea NOT NULL CHECK (length(hash) = 32),
    sealed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, position)
);
CREATE TRIGGER audit_seals_are_append_only BEFORE UPDATE OR DELETE ON platform.audit_seals
    FOR EACH ROW EXECUTE FUNCTION platform.refuse_audit_change();
CREATE TRIGGER audit_seals_are_not_truncated BEFORE TRUNCATE ON platform.audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_audit_change();

-- Records that wait for their seal. Sequences become visible in another order than they are taken, so that the last sealed one
-- does not say what is new.
CREATE TABLE platform.audit_unsealed (
    sequence bigint PRIMARY KEY,
    service  text NOT NULL
);
CREATE INDEX audit_unsealed_service ON platform.audit_unsealed (service, sequence);

CREATE FUNCTION platform.queue_audit_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO platform.audit_unsealed (sequence, service) VALUES (NEW.sequence, NEW.service);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_record_is_sealed AFTER INSERT ON platform.audit_log
    FOR EACH ROW EXECUTE FUNCTION platform.queue_audit_record();
