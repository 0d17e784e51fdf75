-- The highest epoch that a guest has seen for each run, apart from the guest's own state: a revert does not undo it.
CREATE TABLE sim.run_owners (
    vm_id   text NOT NULL REFERENCES sim.vms (id) ON DELETE CASCADE,
    run_id  text NOT NULL,
    epoch   bigint NOT NULL CHECK (epoch > 0),
    PRIMARY KEY (vm_id, run_id)
);
