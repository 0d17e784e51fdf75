-- The end of a chain that is exported next, or was exported last, for each service and destination. What could not be exported stays
-- here as it is, with its signature and its id, until the destination accepts it.
CREATE TABLE platform.audit_exports (
    service          text NOT NULL,
    destination      text NOT NULL CHECK (destination IN ('file', 'webhook', 'syslog')),
    pending          jsonb,
    message_id       uuid,
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    last_error       text,
    exported_at      timestamptz,
    position         bigint,
    PRIMARY KEY (service, destination),
    CHECK ((pending IS NULL) = (message_id IS NULL))
);
