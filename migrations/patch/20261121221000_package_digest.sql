-- What is shown of a package set lies together: who asks for a host need not read the wide row with the numbers of its packages.
-- All sets are gone through, however long that takes.
SET LOCAL statement_timeout = 0;
ALTER TABLE patch.set_findings ADD COLUMN package_digest bytea;
UPDATE patch.set_findings f SET package_digest = s.package_digest FROM patch.package_sets s WHERE s.no = f.set_no;
ALTER TABLE patch.package_sets DROP COLUMN package_digest;
