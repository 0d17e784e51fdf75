-- Lists of hosts, packages across the fleet, and compliance by day.

-- All package sets are read, however long that takes.
SET LOCAL statement_timeout = 0;

-- Each combination of what lists filter by, once: a fleet has some hundreds of them. A list reads the next hosts of each
-- combination that it asks for and merges them, so that a page costs the same however many hosts there are, and however
-- rare a combination is.
CREATE TABLE patch.host_cells (
    no          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    env         text NOT NULL,
    os_key      text NOT NULL,
    status      text NOT NULL CHECK (status IN ('compliant', 'non_compliant', 'unknown')),
    -- The worst of the pending fixes; NULL if nothing is pending.
    severity    text,
    -- A pending fix is of a CVE that is known to be exploited.
    exploited   boolean NOT NULL
);
CREATE UNIQUE INDEX host_cells_key ON patch.host_cells (env, os_key, status, coalesce(severity, ''), exploited);

-- Every active host. Written when its results or its tags change; a scan that changes nothing does not touch it.
CREATE TABLE patch.host_list (
    host_id         integer PRIMARY KEY,
    cell_no         integer NOT NULL,
    ci_id           text COLLATE "C" NOT NULL,
    exploited       integer NOT NULL,
    -- Minus the number of pending fixes, so that the most come first in ascending order.
    pending_rank    bigint NOT NULL,
    -- Earliest due date of a pending fix in seconds since 1970; the highest number if nothing is pending.
    due             bigint NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX host_list_name ON patch.host_list (cell_no, ci_id) INCLUDE (host_id);
CREATE INDEX host_list_pending ON patch.host_list (cell_no, pending_rank, host_id);
CREATE INDEX host_list_due ON patch.host_list (cell_no, due, host_id);

-- Up to `quota` hosts of each of some combinations, in one of the three orders, after a place in that order. A function, so
-- that it is planned once a session and, planned while the table was empty, uses the indexes all the same.
CREATE FUNCTION patch.list_hosts(sort text, cells integer[], after_number bigint, after_name text, after_host integer, quota integer)
RETURNS TABLE (of_cell integer, number bigint, name text, host integer)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    IF sort = 'name' THEN
        RETURN QUERY SELECT c.no, 0::bigint, n.ci_id, n.host_id FROM unnest(cells) AS c (no) CROSS JOIN LATERAL (
            SELECT l.ci_id, l.host_id FROM patch.host_list l
            WHERE l.cell_no = c.no AND l.ci_id > after_name COLLATE "C" ORDER BY l.ci_id LIMIT quota) n;
    ELSIF sort = 'pending' THEN
        RETURN QUERY SELECT c.no, n.pending_rank, ''::text, n.host_id FROM unnest(cells) AS c (no) CROSS JOIN LATERAL (
            SELECT l.pending_rank, l.host_id FROM patch.host_list l
            WHERE l.cell_no = c.no AND (l.pending_rank, l.host_id) > (after_number, after_host)
            ORDER BY l.pending_rank, l.host_id LIMIT quota) n;
    ELSE
        RETURN QUERY SELECT c.no, n.due, ''::text, n.host_id FROM unnest(cells) AS c (no) CROSS JOIN LATERAL (
            SELECT l.due, l.host_id FROM patch.host_list l
            WHERE l.cell_no = c.no AND (l.due, l.host_id) > (after_number, after_host)
            ORDER BY l.due, l.host_id LIMIT quota) n;
    END IF;
END
$$;

-- What lists show of an advisory may change although its due date does not.
CREATE OR REPLACE FUNCTION patch.note_changed_advisories() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO patch.changed_advisories SELECT no FROM new_rows ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO patch.changed_advisories
            SELECT n.no FROM new_rows n JOIN old_rows o ON o.no = n.no
            WHERE (n.digest, n.in_force, n.published) IS DISTINCT FROM (o.digest, o.in_force, o.published)
            ON CONFLICT DO NOTHING;
        INSERT INTO patch.due_hosts
            SELECT DISTINCT a.host_id FROM new_rows n
            JOIN old_rows o ON o.no = n.no AND (o.due, o.exploited, o.severity) IS DISTINCT FROM (n.due, n.exploited, n.severity)
            JOIN patch.affected a ON a.advisory_no = n.no
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

-- All hosts are compared with the CMDB again: more spellings of a release are known.
UPDATE patch.cmdb_cursor SET listed_at = '-infinity';

CREATE INDEX packages_name ON patch.packages ((body ->> 'name'));

-- The packages of a set, and the blocks of sets that it is in as two negative numbers: blocks of 1024 and of 32768. A search
-- for a package that a million sets have reads a block and stops; without blocks it would read a million entries.
CREATE FUNCTION patch.searchable(no integer, package_nos integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT package_nos || ARRAY[-1 - (no >> 10), -1000000000 - (no >> 15)]
$$;
CREATE INDEX package_sets_searchable ON patch.package_sets USING gin (patch.searchable(no, package_nos))
    WITH (gin_pending_list_limit = 16384);
DROP INDEX patch.package_sets_packages;

-- The hosts of a set, in the order of their numbers.
CREATE INDEX host_scans_set_host ON patch.host_scans (set_no, host_id);
DROP INDEX patch.host_scans_set;

-- The first `wanted` sets after `after` that have one of some packages, in the order of their numbers. Small blocks come
-- first, then large ones; what is left is read at once if the blocks show that it is little.
CREATE FUNCTION patch.list_sets_with(packages integer[], after integer, until integer, wanted integer)
RETURNS SETOF integer LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off AS $$
DECLARE
    most_at_once CONSTANT bigint := 5000;
    place bigint := after;
    found_sets bigint := 0;
    in_block bigint;
    blocks integer := 0;
BEGIN
    WHILE found_sets < wanted AND place < until LOOP
        -- `no + 0`: only the index on packages may be used.
        IF blocks < 4 THEN
            RETURN QUERY SELECT s.no FROM patch.package_sets s
                WHERE patch.searchable(s.no, s.package_nos) && packages
                  AND patch.searchable(s.no, s.package_nos) @> ARRAY[(-1 - ((place + 1) >> 10))::integer] AND s.no + 0 > place
                ORDER BY s.no LIMIT wanted - found_sets;
            GET DIAGNOSTICS in_block = ROW_COUNT;
            place := ((((place + 1) >> 10) + 1) << 10) - 1;
        ELSIF blocks < 8 OR found_sets * (until - place) / (place - after) > most_at_once THEN
            RETURN QUERY SELECT s.no FROM patch.package_sets s
                WHERE patch.searchable(s.no, s.package_nos) && packages
                  AND patch.searchable(s.no, s.package_nos) @> ARRAY[(-1000000000 - ((place + 1) >> 15))::integer] AND s.no + 0 > place
                ORDER BY s.no LIMIT wanted - found_sets;
            GET DIAGNOSTICS in_block = ROW_COUNT;
            place := ((((place + 1) >> 15) + 1) << 15) - 1;
        ELSE
            RETURN QUERY SELECT s.no FROM patch.package_sets s
                WHERE patch.searchable(s.no, s.package_nos) && packages AND s.no + 0 > place
                ORDER BY s.no LIMIT wanted - found_sets;
            RETURN;
        END IF;
        found_sets := found_sets + in_block;
        blocks := blocks + 1;
    END LOOP;
END
$$;

-- A page of the active hosts that have one of some packages, in the order of their sets and numbers.
CREATE FUNCTION patch.list_installed(packages integer[], after_set integer, after_host integer, page_size integer)
RETURNS TABLE (in_set integer, host integer)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    last_set integer;
    place integer := after_set - 1;
    found_hosts integer := 0;
    seen integer;
    of_set integer;
    in_page integer;
BEGIN
    SELECT max(s.no) INTO last_set FROM patch.package_sets s;
    LOOP
        seen := 0;
        FOR of_set IN SELECT * FROM patch.list_sets_with(packages, place, last_set, page_size) LOOP
            seen := seen + 1;
            place := of_set;
            RETURN QUERY SELECT of_set, s.host_id FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active
                WHERE s.set_no = of_set AND s.host_id > CASE WHEN of_set = after_set THEN after_host ELSE 0 END
                ORDER BY s.host_id LIMIT page_size - found_hosts;
            GET DIAGNOSTICS in_page = ROW_COUNT;
            found_hosts := found_hosts + in_page;
            IF found_hosts >= page_size THEN
                RETURN;
            END IF;
        END LOOP;
        IF seen < page_size THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;

-- The roll-ups at the end of each day; on the current day, as they were last seen.
CREATE TABLE patch.compliance_history (
    day             date NOT NULL,
    dimension       text NOT NULL,
    value           text NOT NULL,
    compliant       bigint NOT NULL,
    non_compliant   bigint NOT NULL,
    unknown         bigint NOT NULL,
    PRIMARY KEY (day, dimension, value)
);
CREATE INDEX compliance_history_value ON patch.compliance_history (dimension, value, day);
