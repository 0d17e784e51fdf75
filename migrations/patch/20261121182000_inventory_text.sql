-- A host's inventory is mostly the same text as the one before; its digest tells so without reading it.
ALTER TABLE patch.host_scans ADD COLUMN text_digest bytea;
