-- An advisory of a feed without dates has no due date: nobody knows when its fix was published.

-- All advisories are read, however long that takes.
SET LOCAL statement_timeout = 0;

-- `due` keeps its value, for replicas of the old version; it means nothing if the advisory is undated.
ALTER TABLE patch.advisories ADD COLUMN undated boolean NOT NULL GENERATED ALWAYS AS (body @> '{"is_undated": true}') STORED;

-- Of `open_cves`, those of which no advisory has a date. They are not in `published_sum`.
ALTER TABLE patch.compliance ADD COLUMN undated_cves integer NOT NULL DEFAULT 0;

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
            JOIN old_rows o ON o.no = n.no
                AND (o.due, o.undated, o.exploited, o.severity) IS DISTINCT FROM (n.due, n.undated, n.exploited, n.severity)
            JOIN patch.affected a ON a.advisory_no = n.no
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

-- The results of hosts that lack such a fix are computed again.
INSERT INTO patch.due_hosts
    SELECT DISTINCT f.host_id FROM patch.advisories a JOIN patch.affected f ON f.advisory_no = a.no WHERE a.undated
    ON CONFLICT DO NOTHING;
