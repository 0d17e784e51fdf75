-- What a run works on: hosts or customers. Their ids may be the same, so everything that holds both names the kind.
ALTER TABLE patch.runs
    ADD COLUMN subject text NOT NULL DEFAULT 'host' CHECK (subject IN ('host', 'customer'));
UPDATE patch.runs SET subject = 'customer' WHERE trigger = 'release';

ALTER TABLE patch.host_locks RENAME TO subject_locks;
ALTER TABLE patch.subject_locks RENAME COLUMN ci_id TO id;
ALTER TABLE patch.subject_locks
    ADD COLUMN subject text NOT NULL DEFAULT 'host' CHECK (subject IN ('host', 'customer'));
UPDATE patch.subject_locks locks SET subject = runs.subject FROM patch.runs runs WHERE runs.id = locks.run_id;
ALTER TABLE patch.subject_locks DROP CONSTRAINT host_locks_pkey, ADD PRIMARY KEY (subject, id);
ALTER INDEX patch.host_locks_run RENAME TO subject_locks_run;
