-- The identity of the installation. Each work folder keeps a copy: a database that was restored or copied does not agree with it.
CREATE TABLE patch.installation (
    single       boolean PRIMARY KEY DEFAULT true CHECK (single),
    id           uuid NOT NULL,
    -- Advances when an administrator confirms a restore.
    epoch        bigint NOT NULL DEFAULT 1 CHECK (epoch > 0),
    -- The cluster, the database and this table, as PostgreSQL numbers them: a restored copy has other numbers.
    place        text,
    -- Since when, and why, no run is worked on and no schedule starts one.
    held_since   timestamptz,
    held_cause   text,
    held_detail  text,
    confirmed_at timestamptz,
    confirmed_by text,
    CHECK ((held_since IS NULL) = (held_cause IS NULL))
);

-- The work folders that know the installation. A folder never knows a higher count than the database, unless the database is older.
CREATE TABLE patch.installation_folders (
    folder  uuid PRIMARY KEY,
    place   text NOT NULL,
    count   bigint NOT NULL,
    seen_at timestamptz NOT NULL
);
