-- The layout for a million hosts that differ from each other: everything that repeats is a number, what a scan touches
-- is narrow, what is asked by advisory is stored by advisory, and counters have shards so that scans go side by side.

-- A large fleet takes longer to move than a request may take.
SET LOCAL statement_timeout = 0;

-- Each installed package once, however many hosts have it. Rows are facts: they are never changed.
CREATE TABLE patch.packages (
    no      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest  bytea NOT NULL UNIQUE,
    os      text NOT NULL,
    -- Every name an advisory could know it by.
    names   text[] NOT NULL,
    body    jsonb NOT NULL
);
CREATE INDEX packages_names ON patch.packages USING gin (names);

-- Each fix that an installed package lacks, once. Never changed either.
CREATE TABLE patch.findings (
    no          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      bytea NOT NULL UNIQUE,
    advisory_no integer NOT NULL REFERENCES patch.advisories (no),
    package     text NOT NULL,
    installed   text NOT NULL,
    fixed       text NOT NULL,
    -- What the hosts' repositories offer.
    candidate   text,
    -- The version to install; NULL while the repositories offer none with the fix.
    target      text,
    state       text NOT NULL CHECK (state IN ('missing', 'held', 'pending_reboot')),
    rule        text NOT NULL
);
CREATE INDEX findings_advisory ON patch.findings (advisory_no);

-- What a set lacks. Apart from the set itself, whose index on packages makes every change of its row dear.
CREATE TABLE patch.set_findings (
    set_no      integer PRIMARY KEY,
    findings    integer[] NOT NULL
) WITH (fillfactor = 90);

-- The active hosts that lack a fix of an advisory, in the order in which they are shown.
CREATE TABLE patch.affected (
    advisory_no integer NOT NULL,
    host_id     integer NOT NULL,
    PRIMARY KEY (advisory_no, host_id)
) PARTITION BY HASH (advisory_no);
DO $$ BEGIN
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE patch.affected_%s PARTITION OF patch.affected FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part);
    END LOOP;
END $$;

-- What waits to be evaluated: sets that have a package of a changed advisory, and hosts measured by something changed.
CREATE TABLE patch.due_sets (set_no integer PRIMARY KEY);
CREATE TABLE patch.due_hosts (host_id integer PRIMARY KEY);
CREATE TABLE patch.changed_advisories (advisory_no integer PRIMARY KEY);
-- Sets that a host has left: the only ones that can have become useless.
CREATE TABLE patch.left_sets (set_no integer NOT NULL);

-- Counts up with every change of what hosts are measured against, so that memories of it know when they are old.
CREATE TABLE patch.edition (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    number      bigint NOT NULL DEFAULT 1
);
INSERT INTO patch.edition DEFAULT VALUES;

-- How far the CMDB has been followed.
CREATE TABLE patch.cmdb_cursor (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    token       text NOT NULL,
    -- When all its hosts were compared last.
    listed_at   timestamptz NOT NULL
);

-- Fixes that were installed, by month and dimension: how many, how long after publication in all, how many too late.
CREATE TABLE patch.repairs (
    month       date NOT NULL,
    dimension   text NOT NULL,
    value       text NOT NULL,
    shard       smallint NOT NULL,
    fixes       bigint NOT NULL,
    late        bigint NOT NULL,
    seconds     bigint NOT NULL,
    -- Host-CVE-seconds from publication to repair.
    cve_seconds bigint NOT NULL,
    PRIMARY KEY (month, dimension, value, shard)
) WITH (fillfactor = 50);

-- A shard of the counters for this transaction alone while there are more shards than writers; never two at a time,
-- so that two transactions cannot wait for each other's counters.
CREATE FUNCTION patch.own_shard() RETURNS smallint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    mine text := current_setting('patch.shard', true);
    place integer;
BEGIN
    IF mine <> '' THEN
        RETURN mine::smallint;
    END IF;
    FOR step IN 0..15 LOOP
        place := (pg_backend_pid() + step) % 16;
        IF pg_try_advisory_xact_lock(1885434979, place) THEN
            PERFORM set_config('patch.shard', place::text, true);
            RETURN place;
        END IF;
    END LOOP;
    PERFORM pg_advisory_xact_lock(1885434979, place);
    PERFORM set_config('patch.shard', place::text, true);
    RETURN place;
END $$;

-- What is stored already moves over.

DROP TRIGGER hosts_are_counted_i ON patch.hosts;
DROP TRIGGER hosts_are_counted_u ON patch.hosts;
DROP TRIGGER hosts_are_counted_d ON patch.hosts;
DROP TRIGGER results_are_counted_i ON patch.compliance;
DROP TRIGGER results_are_counted_u ON patch.compliance;
DROP TRIGGER results_are_counted_d ON patch.compliance;
DROP TRIGGER pending_is_counted_i ON patch.set_pending;
DROP TRIGGER pending_is_counted_u ON patch.set_pending;
DROP TRIGGER pending_is_counted_d ON patch.set_pending;
DROP FUNCTION patch.count_hosts();
DROP FUNCTION patch.count_results();
DROP FUNCTION patch.count_pending();
DROP FUNCTION patch.changed_rows(text);

CREATE TEMPORARY TABLE moved_packages ON COMMIT DROP AS
    SELECT s.no AS set_no, e.place, s.os, e.body, sha256(convert_to(s.os || e.body::text, 'UTF8')) AS digest
    FROM patch.package_sets s CROSS JOIN LATERAL jsonb_array_elements(s.packages) WITH ORDINALITY AS e (body, place);
INSERT INTO patch.packages (digest, os, names, body)
    SELECT DISTINCT ON (digest) digest, os,
        ARRAY(SELECT DISTINCT name FROM unnest(ARRAY[body ->> 'name', source] || CASE WHEN source LIKE 'linux-signed%'
            THEN ARRAY['linux', 'linux' || substr(source, 13)] ELSE '{}' END) AS n (name)),
        body
    FROM (SELECT m.*, coalesce(body ->> 'source_name', body ->> 'name') AS source FROM moved_packages m) m
    ORDER BY digest;
ALTER TABLE patch.package_sets ADD COLUMN package_nos integer[] NOT NULL DEFAULT '{}';
ALTER TABLE patch.package_sets ADD COLUMN facts jsonb;
UPDATE patch.package_sets s SET
    facts = jsonb_build_object('os', s.os, 'channels', '[]'::jsonb, 'running_kernel', s.running_kernel, 'enabled_modules', '[]'::jsonb),
    package_nos = ARRAY(SELECT p.no FROM moved_packages m JOIN patch.packages p ON p.digest = m.digest
                        WHERE m.set_no = s.no ORDER BY m.place);
INSERT INTO patch.due_sets SELECT no FROM patch.package_sets WHERE is_due;
INSERT INTO patch.changed_advisories SELECT no FROM patch.advisories WHERE EXISTS (SELECT FROM patch.due_sets);
ALTER TABLE patch.package_sets ALTER COLUMN package_nos DROP DEFAULT;
ALTER TABLE patch.package_sets ALTER COLUMN facts SET NOT NULL;
ALTER TABLE patch.package_sets ALTER COLUMN package_digest TYPE bytea USING decode(package_digest, 'hex');
DROP INDEX patch.package_sets_names;
DROP INDEX patch.package_sets_due;
ALTER TABLE patch.package_sets DROP COLUMN packages, DROP COLUMN names, DROP COLUMN hosts, DROP COLUMN is_due,
    DROP COLUMN running_kernel;
CREATE INDEX package_sets_packages ON patch.package_sets USING gin (package_nos);

CREATE TEMPORARY TABLE moved_findings ON COMMIT DROP AS
    SELECT p.*, sha256(convert_to(concat_ws(chr(10), advisory_no, package, installed, fixed, candidate, chr(9), target, chr(9), state, rule), 'UTF8')) AS digest
    FROM patch.set_pending p;
INSERT INTO patch.findings (digest, advisory_no, package, installed, fixed, candidate, target, state, rule)
    SELECT DISTINCT ON (digest) digest, advisory_no, package, installed, fixed, candidate, target, state, rule
    FROM moved_findings ORDER BY digest;
INSERT INTO patch.set_findings (set_no, findings)
    SELECT s.no, ARRAY(SELECT f.no FROM moved_findings m JOIN patch.findings f ON f.digest = m.digest
                       WHERE m.set_no = s.no ORDER BY f.no)
    FROM patch.package_sets s;
INSERT INTO patch.affected (advisory_no, host_id)
    SELECT DISTINCT p.advisory_no, h.id FROM patch.hosts h JOIN patch.set_pending p ON p.set_no = h.set_no
    WHERE h.active ORDER BY 1, 2;

-- The scan's row is what a host is locked by, and the only one that most scans touch.
INSERT INTO patch.host_scans (host_id) SELECT id FROM patch.hosts ON CONFLICT DO NOTHING;
ALTER TABLE patch.host_scans ADD COLUMN set_no integer;
ALTER TABLE patch.host_scans ADD COLUMN status text NOT NULL DEFAULT 'unknown'
    CHECK (status IN ('compliant', 'non_compliant', 'unknown'));
UPDATE patch.host_scans s SET set_no = h.set_no, status = h.status FROM patch.hosts h WHERE h.id = s.host_id;
-- No index on the time: a scan that changes nothing must not write an index.
DROP INDEX patch.host_scans_age;
CREATE INDEX host_scans_set ON patch.host_scans (set_no);
DROP INDEX patch.hosts_set;
ALTER TABLE patch.hosts DROP COLUMN set_no, DROP COLUMN status;
DROP TABLE patch.set_pending;

-- What the reports on time rest on: the earliest due date of what is asked and not excepted, and of how many CVEs in
-- how many seconds since 1970 in sum the fixes were published.
ALTER TABLE patch.compliance ADD COLUMN next_due timestamptz;
ALTER TABLE patch.compliance ADD COLUMN open_cves integer NOT NULL DEFAULT 0;
ALTER TABLE patch.compliance ADD COLUMN published_sum bigint NOT NULL DEFAULT 0;
ALTER TABLE patch.compliance SET (fillfactor = 85);
DROP INDEX patch.compliance_policy;
CREATE INDEX compliance_policy ON patch.compliance (policy_no, host_id);
INSERT INTO patch.due_hosts SELECT id FROM patch.hosts WHERE active;

DROP TABLE patch.advisory_counts;
CREATE TABLE patch.advisory_counts (
    advisory_no integer NOT NULL,
    shard       smallint NOT NULL,
    hosts       bigint NOT NULL,
    PRIMARY KEY (advisory_no, shard)
) WITH (fillfactor = 50);
INSERT INTO patch.advisory_counts SELECT advisory_no, 0, count(*) FROM patch.affected GROUP BY 1;

DROP TABLE patch.compliance_rollup;
-- What dashboards read. Dimension `policy` counts results, the others count hosts.
CREATE TABLE patch.compliance_rollup (
    dimension   text NOT NULL,
    value       text NOT NULL,
    status      text NOT NULL,
    shard       smallint NOT NULL,
    hosts       bigint NOT NULL,
    PRIMARY KEY (dimension, value, status, shard)
) WITH (fillfactor = 50);
INSERT INTO patch.compliance_rollup
    SELECT d.dimension, d.value, s.status, 0, count(*)
    FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
    CROSS JOIN LATERAL (VALUES ('total', ''), ('env', h.env), ('os', h.os), ('tier', h.tier), ('owner', h.owner),
        ('cluster', h.cluster)) AS d (dimension, value)
    WHERE h.active GROUP BY 1, 2, 3
    UNION ALL
    SELECT 'policy', policy_no::text, status, 0, count(*) FROM patch.compliance WHERE policy_no > 0 GROUP BY 1, 2, 3;

-- Whoever changes an advisory need not think of who is measured by it.
CREATE FUNCTION patch.note_changed_advisories() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO patch.changed_advisories SELECT no FROM new_rows ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO patch.changed_advisories
            SELECT n.no FROM new_rows n JOIN old_rows o ON o.no = n.no
            WHERE (n.digest, n.in_force, n.published) IS DISTINCT FROM (o.digest, o.in_force, o.published)
            ON CONFLICT DO NOTHING;
        INSERT INTO patch.due_hosts
            SELECT DISTINCT a.host_id FROM new_rows n JOIN old_rows o ON o.no = n.no AND o.due <> n.due
            JOIN patch.affected a ON a.advisory_no = n.no
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER advisories_are_noted_i AFTER INSERT ON patch.advisories
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.note_changed_advisories();
CREATE TRIGGER advisories_are_noted_u AFTER UPDATE ON patch.advisories
    REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION patch.note_changed_advisories();
