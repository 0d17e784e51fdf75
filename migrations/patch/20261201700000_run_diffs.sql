-- How the plan made right before the work of a run differed from the approved one.
CREATE TABLE patch.run_diffs (
    run_id       uuid PRIMARY KEY REFERENCES patch.runs (id),
    comparison   jsonb NOT NULL,
    compared_at  timestamptz NOT NULL
);

-- Runs that were planned ahead of their slot.
CREATE INDEX runs_planned_ahead ON patch.runs (scheduled_for) WHERE ended_at IS NULL AND scheduled_for IS NOT NULL;
