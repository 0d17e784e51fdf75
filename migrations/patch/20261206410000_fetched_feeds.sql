-- Feeds that the platform fetches itself.
CREATE TABLE patch.fetched_feeds (
    id               text PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9.:_-]{0,63}$'),
    url              text NOT NULL,
    checksum_url     text,
    every_minutes    integer NOT NULL CHECK (every_minutes BETWEEN 5 AND 43200),
    late_after_hours integer NOT NULL CHECK (late_after_hours BETWEEN 1 AND 8760),
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL,
    next_at          timestamptz NOT NULL,
    -- The replica that fetches it holds it until then.
    leased_until     timestamptz,
    checked_at       timestamptz,
    -- The last time when what the platform has was known to be the newest.
    fetched_at       timestamptz,
    -- The last import to its end, and what identifies the version that it read.
    imported_at      timestamptz,
    import_id        uuid,
    etag             text,
    last_modified    text,
    failures         integer NOT NULL DEFAULT 0,
    problem          text,
    -- Of the time since `fetched_at`.
    incident_id      text
);
CREATE INDEX fetched_feeds_next ON patch.fetched_feeds (next_at);
