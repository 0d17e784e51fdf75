-- Who wrote what a run does, and who approved a version of a policy. They count as editors of the change that the run opens.

ALTER TABLE patch.policies
    -- Empty for policies that an earlier version created and that the audit log does not have.
    ADD COLUMN created_by text,
    -- Everybody who changed it after its last approved version.
    ADD COLUMN editors text[] NOT NULL DEFAULT '{}',
    ADD COLUMN approved_version bigint,
    ADD COLUMN approved_by text,
    ADD COLUMN approved_at timestamptz;

-- The audit log knows who wrote the policies that exist, since each was created.
WITH created AS (
    SELECT object, max(sequence) AS sequence FROM platform.audit_log
    WHERE object IN (SELECT 'policy/' || id FROM patch.policies) AND action = 'create_policy'
    GROUP BY object
)
UPDATE patch.policies SET
    created_by = (SELECT subject FROM platform.audit_log log WHERE log.sequence = created.sequence),
    editors = ARRAY(SELECT DISTINCT subject FROM platform.audit_log log WHERE log.object = created.object
        AND log.sequence >= created.sequence AND log.action IN ('create_policy', 'update_policy') ORDER BY 1)
FROM created WHERE created.object = 'policy/' || policies.id;

ALTER TABLE patch.runs
    ADD COLUMN editors text[] NOT NULL DEFAULT '{}',
    -- Whether the template of the policy approves the run, as it was when the run was started. Empty: it has none.
    ADD COLUMN pre_approval jsonb;
