-- Whether the update of a host has begun and was not undone. Of runs of before, every host that was started counts as changed.
ALTER TABLE patch.run_hosts ADD COLUMN update_begun boolean;
