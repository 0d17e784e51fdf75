-- The CI of an agent's token. A rotated token expires early, and a second rotation of it issues the same time again.
ALTER TABLE platform.tokens ADD COLUMN ci_id text, ADD COLUMN lifetime_seconds bigint;
CREATE INDEX tokens_ci_id ON platform.tokens (ci_id) WHERE ci_id IS NOT NULL;
