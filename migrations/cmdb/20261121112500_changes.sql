-- Followers ask what has changed since they asked last. Numbers of rows are given out before they are committed, so a
-- follower that went by them alone would miss what commits late; the transaction tells when nothing can come any more.
ALTER TABLE cmdb.history ADD COLUMN transaction xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX history_of_transactions ON cmdb.history (transaction, sequence);
