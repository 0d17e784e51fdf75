-- A session of a browser: a token of its own with a short life, made from the token that the person entered.
ALTER TABLE platform.tokens ADD COLUMN session_of uuid REFERENCES platform.tokens;
CREATE INDEX tokens_session_of ON platform.tokens (session_of, id) WHERE session_of IS NOT NULL;
