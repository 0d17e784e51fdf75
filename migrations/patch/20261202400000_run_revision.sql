-- Counts the changes of a run's state machine. A process that keeps the run's hosts and plan in memory sees by it that
-- another process has changed the run.
ALTER TABLE patch.runs ADD COLUMN revision bigint NOT NULL DEFAULT 0;
