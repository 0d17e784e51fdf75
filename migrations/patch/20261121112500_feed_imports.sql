-- Imports of feeds, told while they go on, and what the watched folder has taken.

CREATE TABLE patch.feed_imports (
    id           uuid PRIMARY KEY,
    -- The feed's own name where it has one: a file of the watched folder, an address.
    origin       text NOT NULL,
    requested_by text NOT NULL,
    status       text NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'interrupted')),
    bytes_total  bigint NOT NULL,
    bytes_read   bigint NOT NULL DEFAULT 0,
    report       jsonb NOT NULL,
    problem      text,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    -- When its process last said that it is at work, by the database's clock.
    seen_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX feed_imports_started ON patch.feed_imports (started_at, id);
CREATE INDEX feed_imports_running ON patch.feed_imports (seen_at) WHERE status = 'running';

-- A file is taken again when its size or time has changed.
CREATE TABLE patch.feed_files (
    path        text COLLATE "C" PRIMARY KEY,
    size_bytes  bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    -- Validators of what was fetched from an address.
    etag        text,
    import_id   uuid REFERENCES patch.feed_imports (id) ON DELETE SET NULL
);

-- Up to when the schedule of feeds was looked at; one row.
CREATE TABLE patch.feed_schedule (
    only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    considered_until timestamptz NOT NULL
);

-- What the National Vulnerability Database says of a CVE: to be read, never to be matched.
CREATE TABLE patch.cve_notes (
    cve      text COLLATE "C" PRIMARY KEY,
    modified timestamptz NOT NULL,
    body     jsonb NOT NULL
);
