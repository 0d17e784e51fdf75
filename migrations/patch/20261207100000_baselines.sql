-- Policies select what belongs to their baseline.

-- All results are read, however long that takes.
SET LOCAL statement_timeout = 0;

ALTER TABLE patch.compliance
    -- Missing fixes that do not belong to the baseline of the policy.
    ADD COLUMN left_out integer NOT NULL DEFAULT 0,
    -- When the first of them becomes old enough to belong to it.
    ADD COLUMN next_approval timestamptz;
CREATE INDEX compliance_next_approval ON patch.compliance (next_approval) WHERE next_approval IS NOT NULL;

-- A change of the kind of an advisory changes what belongs to a baseline; before, only its due date, rating and exploitation counted.
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
                AND (o.due, o.undated, o.exploited, o.severity, o.published, o.kind)
                    IS DISTINCT FROM (n.due, n.undated, n.exploited, n.severity, n.published, n.kind)
            JOIN patch.affected a ON a.advisory_no = n.no
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;

-- The results of policies with a patch level count what the level leaves out.
INSERT INTO patch.due_hosts
    SELECT DISTINCT c.host_id FROM patch.compliance c JOIN patch.policies p ON p.no = c.policy_no
    WHERE p.level_ends IS NOT NULL
    ON CONFLICT DO NOTHING;
