-- What a run left out on a host in addition to its plan, each with its cause: what no pilot has tested.

ALTER TABLE patch.run_hosts ADD COLUMN left_out jsonb NOT NULL DEFAULT '[]';
