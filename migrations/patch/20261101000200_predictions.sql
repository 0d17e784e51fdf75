-- What was said beforehand of each run, and what came of it: a forecast that is never scored is decoration.

CREATE TABLE patch.predictions (
    run_id      uuid PRIMARY KEY REFERENCES patch.runs (id),
    made_at     timestamptz NOT NULL,
    -- The whole forecast, as the simulator gave it.
    forecast    jsonb NOT NULL,
    -- Observations the durations behind it were learnt from; 0: the prior alone.
    observations bigint NOT NULL,
    actual      jsonb,
    recorded_at timestamptz
);
CREATE INDEX predictions_scored ON patch.predictions (recorded_at) WHERE actual IS NOT NULL;
