-- What every host should have, what it has, and what it lacks.
--
-- Hosts with the same packages share one package set, and what a set lacks is worked out once for all its hosts. A fleet
-- of clones costs as much as one host; a fleet of individuals costs one more row per host.

CREATE TABLE patch.policies (
    no                  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                  text COLLATE "C" NOT NULL UNIQUE,
    body                jsonb NOT NULL,
    -- Out of the body, to be joined with hosts.
    target_tags         jsonb NOT NULL,
    os_key              text,
    patch_level         text,
    -- The first instant after the month of the patch level.
    level_ends          timestamptz,
    max_scan_age_hours  integer NOT NULL,
    version             bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    updated_by          text NOT NULL
);

CREATE TABLE patch.advisories (
    no          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text COLLATE "C" NOT NULL UNIQUE,
    source      text NOT NULL,
    kind        text NOT NULL,
    severity    text NOT NULL,
    summary     text NOT NULL,
    cves        text[] NOT NULL,
    published   timestamptz NOT NULL,
    modified    timestamptz NOT NULL,
    withdrawn   timestamptz,
    -- Neither withdrawn nor superseded: only such ask for anything.
    in_force    boolean NOT NULL,
    exploited   boolean NOT NULL,
    due         timestamptz NOT NULL,
    digest      bytea NOT NULL,
    body        jsonb NOT NULL
);
CREATE INDEX advisories_published ON patch.advisories (published, no);
CREATE INDEX advisories_cves ON patch.advisories USING gin (cves);

CREATE TABLE patch.advisory_packages (
    advisory_no     integer NOT NULL REFERENCES patch.advisories (no) ON DELETE CASCADE,
    position        integer NOT NULL,
    os              text NOT NULL,
    package         text NOT NULL,
    package_kind    text NOT NULL,
    introduced      text,
    fixed           text,
    arch            text,
    modules         text[] NOT NULL,
    PRIMARY KEY (advisory_no, position)
);
CREATE INDEX advisory_packages_name ON patch.advisory_packages (os, package);

-- CIs that lack a fix of the advisory; kept by triggers as sets and hosts change.
CREATE TABLE patch.advisory_counts (
    advisory_no integer PRIMARY KEY REFERENCES patch.advisories (no) ON DELETE CASCADE,
    hosts       bigint NOT NULL DEFAULT 0
);

CREATE TABLE patch.known_exploited (
    cve         text PRIMARY KEY,
    date_added  date NOT NULL,
    body        jsonb NOT NULL
);

CREATE TABLE patch.exploit_predictions (
    cve         text PRIMARY KEY,
    probability double precision NOT NULL,
    percentile  double precision
);

-- Packages that one or many hosts have, with all that decides what they lack.
CREATE TABLE patch.package_sets (
    no              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest          bytea NOT NULL UNIQUE,
    -- Of names, versions and architectures alone, as it is shown.
    package_digest  text NOT NULL,
    os              text NOT NULL,
    running_kernel  text,
    packages        jsonb NOT NULL,
    -- Every name an advisory could know one of the packages by.
    names           text[] NOT NULL,
    hosts           integer NOT NULL DEFAULT 0,
    -- An advisory of one of its packages has changed since it was evaluated.
    is_due          boolean NOT NULL DEFAULT true
);
CREATE INDEX package_sets_names ON patch.package_sets USING gin (names);
CREATE INDEX package_sets_due ON patch.package_sets (no) WHERE is_due;

-- The fixes a package set lacks.
CREATE TABLE patch.set_pending (
    set_no      integer NOT NULL REFERENCES patch.package_sets (no) ON DELETE CASCADE,
    advisory_no integer NOT NULL REFERENCES patch.advisories (no) ON DELETE CASCADE,
    package     text NOT NULL,
    installed   text NOT NULL,
    fixed       text NOT NULL,
    -- What the hosts' repositories offer.
    candidate   text,
    -- The version to install; NULL while the repositories offer none with the fix.
    target      text,
    state       text NOT NULL CHECK (state IN ('missing', 'held', 'pending_reboot')),
    rule        text NOT NULL,
    published   timestamptz NOT NULL,
    -- One row of each set and advisory, so that hosts are counted once.
    is_first    boolean NOT NULL,
    PRIMARY KEY (set_no, advisory_no, package, fixed)
);
CREATE INDEX set_pending_advisory ON patch.set_pending (advisory_no, set_no);

-- Hosts and VMs of the CMDB, as last seen there.
CREATE TABLE patch.hosts (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ci_id           text COLLATE "C" NOT NULL UNIQUE,
    -- Whether the CMDB still lists it.
    active          boolean NOT NULL DEFAULT true,
    os              text NOT NULL,
    -- The tag in one spelling, so that `rocky9` and `rocky:9` are the same.
    os_key          text NOT NULL,
    driver          text NOT NULL,
    env             text NOT NULL,
    tier            text NOT NULL,
    owner           text NOT NULL,
    cluster         text NOT NULL,
    tags            jsonb NOT NULL,
    set_no          integer REFERENCES patch.package_sets (no),
    -- The worst of its policies' results.
    status          text NOT NULL DEFAULT 'unknown' CHECK (status IN ('compliant', 'non_compliant', 'unknown'))
) WITH (fillfactor = 85);
CREATE INDEX hosts_set ON patch.hosts (set_no, ci_id);
CREATE INDEX hosts_tags ON patch.hosts USING gin (tags jsonb_path_ops);

-- Written at every scan, hence narrow and apart.
CREATE TABLE patch.host_scans (
    host_id         integer PRIMARY KEY REFERENCES patch.hosts (id) ON DELETE CASCADE,
    scan_id         text,
    last_scanned    timestamptz,
    last_patched    timestamptz,
    reboot_pending  boolean NOT NULL DEFAULT false,
    boot_id         text
) WITH (fillfactor = 80);
CREATE INDEX host_scans_age ON patch.host_scans (last_scanned);

-- One result per host and policy. Policy 0 is the measure of hosts that no policy selects: everything known.
CREATE TABLE patch.compliance (
    host_id         integer NOT NULL REFERENCES patch.hosts (id) ON DELETE CASCADE,
    policy_no       integer NOT NULL,
    status          text NOT NULL CHECK (status IN ('compliant', 'non_compliant', 'unknown')),
    target_level    text,
    current_level   text,
    pending         integer NOT NULL,
    excepted        integer NOT NULL,
    PRIMARY KEY (host_id, policy_no)
);
CREATE INDEX compliance_policy ON patch.compliance (policy_no, status, host_id);

-- What dashboards read. Dimension `policy` counts results, the others count hosts.
CREATE TABLE patch.compliance_rollup (
    dimension   text NOT NULL,
    value       text NOT NULL,
    status      text NOT NULL,
    hosts       bigint NOT NULL,
    PRIMARY KEY (dimension, value, status)
);

CREATE TABLE patch.exceptions (
    id                      uuid PRIMARY KEY,
    owner                   text NOT NULL,
    reason                  text NOT NULL,
    expires_at              timestamptz NOT NULL,
    ci_id                   text,
    advisory_id             text,
    package                 text,
    compensating_control    text,
    created_by              text NOT NULL,
    created_at              timestamptz NOT NULL,
    -- When it was taken back or found expired.
    ended_at                timestamptz,
    CHECK (advisory_id IS NOT NULL OR package IS NOT NULL)
);
CREATE INDEX exceptions_open ON patch.exceptions (expires_at) WHERE ended_at IS NULL;

CREATE TABLE patch.calendars (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    reason      text NOT NULL,
    scope       jsonb NOT NULL,
    freezes     jsonb NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE patch.scans (
    id              uuid PRIMARY KEY,
    state           text NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed')),
    requested_by    text NOT NULL,
    selector        jsonb NOT NULL,
    error           text,
    created_at      timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz,
    deadline        timestamptz NOT NULL,
    lease_owner     uuid,
    lease_epoch     bigint NOT NULL DEFAULT 0
);
CREATE INDEX scans_open ON patch.scans (created_at) WHERE finished_at IS NULL;

CREATE TABLE patch.scan_hosts (
    scan_id     uuid NOT NULL REFERENCES patch.scans (id),
    ci_id       text COLLATE "C" NOT NULL,
    state       text NOT NULL CHECK (state IN ('pending', 'scanned', 'failed')),
    reason      text,
    PRIMARY KEY (scan_id, ci_id)
);

-- An exception for a CVE covers an advisory only together with exceptions for its other CVEs: what was not excepted
-- must not vanish behind what was.
CREATE FUNCTION patch.is_excepted(ci text, advisory text, cves text[], package_name text, at timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH open AS (
        SELECT e.advisory_id FROM patch.exceptions e
        WHERE e.ended_at IS NULL AND e.expires_at > at
          AND (e.ci_id IS NULL OR e.ci_id = ci) AND (e.package IS NULL OR e.package = package_name)
    )
    SELECT EXISTS (SELECT FROM open WHERE advisory_id IS NULL OR advisory_id = advisory)
        OR (cardinality(cves) > 0
            AND NOT EXISTS (SELECT FROM unnest(cves) AS c(cve) WHERE c.cve NOT IN (SELECT advisory_id FROM open WHERE advisory_id IS NOT NULL)))
$$;

-- The rows that a statement took away (-1) and brought (1), as a query over its transition tables.
CREATE FUNCTION patch.changed_rows(operation text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE operation
        WHEN 'INSERT' THEN 'SELECT 1 AS delta, n.* FROM new_rows n'
        WHEN 'DELETE' THEN 'SELECT -1 AS delta, o.* FROM old_rows o'
        ELSE 'SELECT 1 AS delta, n.* FROM new_rows n UNION ALL SELECT -1, o.* FROM old_rows o'
    END
$$;

CREATE FUNCTION patch.count_hosts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($sql$
        INSERT INTO patch.compliance_rollup AS r (dimension, value, status, hosts)
        SELECT d.dimension, d.value, c.status, sum(c.delta)
        FROM (%s) c CROSS JOIN LATERAL (VALUES ('total', ''), ('env', c.env), ('os', c.os), ('tier', c.tier),
            ('owner', c.owner), ('cluster', c.cluster)) AS d (dimension, value)
        WHERE c.active
        GROUP BY 1, 2, 3 HAVING sum(c.delta) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (dimension, value, status) DO UPDATE SET hosts = r.hosts + excluded.hosts
    $sql$, patch.changed_rows(TG_OP));
    EXECUTE format($sql$
        WITH moved AS (
            SELECT c.set_no, sum(c.delta)::integer AS delta FROM (%s) c
            WHERE c.active AND c.set_no IS NOT NULL GROUP BY 1 HAVING sum(c.delta) <> 0
        ), counted AS (
            UPDATE patch.package_sets s SET hosts = s.hosts + moved.delta FROM moved WHERE s.no = moved.set_no
        )
        UPDATE patch.advisory_counts a SET hosts = a.hosts + d.delta
        FROM (SELECT p.advisory_no, sum(moved.delta) AS delta FROM moved
              JOIN patch.set_pending p ON p.set_no = moved.set_no AND p.is_first GROUP BY 1) d
        WHERE a.advisory_no = d.advisory_no AND d.delta <> 0
    $sql$, patch.changed_rows(TG_OP));
    RETURN NULL;
END $$;
CREATE TRIGGER hosts_are_counted_i AFTER INSERT ON patch.hosts
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_hosts();
CREATE TRIGGER hosts_are_counted_u AFTER UPDATE ON patch.hosts
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_hosts();
CREATE TRIGGER hosts_are_counted_d AFTER DELETE ON patch.hosts
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_hosts();

CREATE FUNCTION patch.count_results() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($sql$
        INSERT INTO patch.compliance_rollup AS r (dimension, value, status, hosts)
        SELECT 'policy', c.policy_no::text, c.status, sum(c.delta) FROM (%s) c WHERE c.policy_no > 0
        GROUP BY 1, 2, 3 HAVING sum(c.delta) <> 0 ORDER BY 1, 2, 3
        ON CONFLICT (dimension, value, status) DO UPDATE SET hosts = r.hosts + excluded.hosts
    $sql$, patch.changed_rows(TG_OP));
    RETURN NULL;
END $$;
CREATE TRIGGER results_are_counted_i AFTER INSERT ON patch.compliance
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_results();
CREATE TRIGGER results_are_counted_u AFTER UPDATE ON patch.compliance
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_results();
CREATE TRIGGER results_are_counted_d AFTER DELETE ON patch.compliance
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_results();

CREATE FUNCTION patch.count_pending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($sql$
        UPDATE patch.advisory_counts a SET hosts = a.hosts + d.delta
        FROM (SELECT c.advisory_no, sum(c.delta * s.hosts) AS delta FROM (%s) c
              JOIN patch.package_sets s ON s.no = c.set_no WHERE c.is_first GROUP BY 1) d
        WHERE a.advisory_no = d.advisory_no AND d.delta <> 0
    $sql$, patch.changed_rows(TG_OP));
    RETURN NULL;
END $$;
CREATE TRIGGER pending_is_counted_i AFTER INSERT ON patch.set_pending
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_pending();
CREATE TRIGGER pending_is_counted_u AFTER UPDATE ON patch.set_pending
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_pending();
CREATE TRIGGER pending_is_counted_d AFTER DELETE ON patch.set_pending
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.count_pending();
