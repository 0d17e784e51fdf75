-- The last affected version of a package without a fix, where its vendor names it.
ALTER TABLE patch.advisory_packages ADD COLUMN last_affected text;
