-- Configuration items, how they hang together, what happened to them.

CREATE TABLE cmdb.cis (
    -- Byte order, so that pages are the same on every server.
    id              text COLLATE "C" PRIMARY KEY,
    ci_type         text NOT NULL,
    name            text NOT NULL,
    status          text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'decommissioned')),
    tags            jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(tags) = 'object'),
    attributes      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    -- {owner, reason, since, expires_at} while in maintenance; the expiry stands beside it to be searched by.
    maintenance             jsonb,
    maintenance_expires_at  timestamptz,
    patch_state     jsonb,
    -- Tags as the sim-engine named them last: what differs from them was set by an operator, and stays. NULL: never synchronised.
    synced_tags     jsonb,
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK ((maintenance IS NULL) = (maintenance_expires_at IS NULL))
);
CREATE INDEX cis_tags ON cmdb.cis USING gin (tags jsonb_path_ops);
CREATE INDEX cis_type ON cmdb.cis (ci_type, id);
CREATE INDEX cis_maintenance_expiry ON cmdb.cis (maintenance_expires_at) WHERE maintenance IS NOT NULL;

CREATE TABLE cmdb.relationships (
    id                  uuid PRIMARY KEY,
    source              text COLLATE "C" NOT NULL REFERENCES cmdb.cis (id),
    target              text COLLATE "C" NOT NULL REFERENCES cmdb.cis (id),
    relationship_type   text NOT NULL,
    compatibility       text,
    created_at          timestamptz NOT NULL,
    UNIQUE (source, relationship_type, target),
    CHECK (source <> target),
    CHECK ((relationship_type = 'depends_on') = (compatibility IS NOT NULL))
);
CREATE INDEX relationships_target ON cmdb.relationships (target, relationship_type);
-- What contains things contains them alone: the tree of places has one parent for each.
CREATE UNIQUE INDEX relationships_one_container ON cmdb.relationships (target) WHERE relationship_type = 'contains';

CREATE TABLE cmdb.history (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ci_id       text COLLATE "C" NOT NULL REFERENCES cmdb.cis (id),
    at          timestamptz NOT NULL,
    who         text NOT NULL,
    action      text NOT NULL,
    before      jsonb,
    after       jsonb,
    why         text
);
CREATE INDEX history_of_ci ON cmdb.history (ci_id, sequence DESC);

-- Append-only: a history that can be changed proves nothing.
CREATE FUNCTION cmdb.refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the history of CIs is append-only';
END $$;
CREATE TRIGGER history_is_append_only BEFORE UPDATE OR DELETE ON cmdb.history
    FOR EACH ROW EXECUTE FUNCTION cmdb.refuse_history_change();
CREATE TRIGGER history_is_never_emptied BEFORE TRUNCATE ON cmdb.history
    FOR EACH STATEMENT EXECUTE FUNCTION cmdb.refuse_history_change();

-- The last synchronisation with the sim-engine: one row for ever, which is also the lock that only one holds.
CREATE TABLE cmdb.sync (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    status      text NOT NULL DEFAULT 'never' CHECK (status IN ('never', 'running', 'succeeded', 'failed')),
    -- Who runs it; a synchronisation that was taken over finds another number here and changes nothing.
    attempt     bigint NOT NULL DEFAULT 0,
    started_by  text,
    started_at  timestamptz,
    deadline    timestamptz,
    finished_at timestamptz,
    created     bigint NOT NULL DEFAULT 0,
    updated     bigint NOT NULL DEFAULT 0,
    unchanged   bigint NOT NULL DEFAULT 0,
    missing     text[] NOT NULL DEFAULT '{}',
    error       text
);
INSERT INTO cmdb.sync DEFAULT VALUES;

-- The hosts and groups of a run's inventory, as first given.
CREATE TABLE cmdb.inventory_memberships (
    run_id      uuid PRIMARY KEY,
    hosts       text[] NOT NULL,
    groups      jsonb NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX inventory_memberships_age ON cmdb.inventory_memberships (created_at);
