-- Virtual machines of the model driver: a machine is rows, and every operation on it is one transaction.

-- One row: the version of the whole state. It is raised by the last statement of a change, under the row's lock, so that
-- versions become visible in their order and a reader who has seen one has missed none before it.
CREATE TABLE sim.state_version (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version     bigint NOT NULL
);
INSERT INTO sim.state_version (version) VALUES (0);

CREATE TABLE sim.vms (
    id              text PRIMARY KEY,
    driver          text NOT NULL CHECK (driver IN ('model', 'linux')),
    os              text NOT NULL,
    cluster         text,
    hypervisor      text,
    tags            jsonb NOT NULL,
    -- `failed`: struck by a host failure, until a power-on, a reset or a revert.
    condition       text NOT NULL CHECK (condition IN ('up', 'booting', 'failed', 'off')),
    boot_id         uuid NOT NULL,
    booted_at       timestamptz NOT NULL,
    -- The time a booting machine will be up, under a new boot id.
    boot_due_at     timestamptz,
    -- The inside: packages, services, disk, and how long its operations take.
    guest           jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    version         bigint NOT NULL,
    CHECK ((condition = 'booting') = (boot_due_at IS NOT NULL))
);
CREATE INDEX vms_version ON sim.vms (version);
CREATE INDEX vms_boot_due ON sim.vms (boot_due_at) WHERE boot_due_at IS NOT NULL;
CREATE INDEX vms_hypervisor ON sim.vms (hypervisor, id) WHERE hypervisor IS NOT NULL;
CREATE INDEX vms_cluster ON sim.vms (cluster, id) WHERE cluster IS NOT NULL;

-- Machines that were deleted, with the version at which they went.
CREATE TABLE sim.deleted_vms (
    id          text PRIMARY KEY,
    version     bigint NOT NULL
);
CREATE INDEX deleted_vms_version ON sim.deleted_vms (version);

CREATE TABLE sim.snapshots (
    id          uuid PRIMARY KEY,
    vm_id       text NOT NULL REFERENCES sim.vms (id) ON DELETE CASCADE,
    owner       text NOT NULL,
    purpose     text NOT NULL,
    -- What the driver needs to return the machine to this state.
    image       jsonb NOT NULL,
    size_bytes  bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    UNIQUE (vm_id, owner, purpose)
);
CREATE INDEX snapshots_expiry ON sim.snapshots (expires_at);

-- Package transactions of the guests. A running one ends at `due_at`, whichever process is there to end it.
CREATE TABLE sim.transactions (
    id              uuid PRIMARY KEY,
    vm_id           text NOT NULL REFERENCES sim.vms (id) ON DELETE CASCADE,
    transaction_id  text NOT NULL,
    state           text NOT NULL CHECK (state IN ('running', 'completed', 'failed')),
    -- What it will change when nothing fails.
    planned         jsonb NOT NULL,
    changed         jsonb NOT NULL,
    failure         text,
    reboot_pending  boolean NOT NULL,
    started_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    finished_at     timestamptz,
    UNIQUE (vm_id, transaction_id),
    CHECK ((state = 'running') = (finished_at IS NULL))
);
-- The package lock of a guest.
CREATE UNIQUE INDEX transactions_running ON sim.transactions (vm_id) WHERE state = 'running';
CREATE INDEX transactions_due ON sim.transactions (due_at) WHERE state = 'running';
CREATE INDEX transactions_history ON sim.transactions (vm_id, id);

CREATE TABLE sim.faults (
    id              uuid PRIMARY KEY,
    vm_id           text NOT NULL REFERENCES sim.vms (id) ON DELETE CASCADE,
    kind            text NOT NULL,
    probability     double precision NOT NULL CHECK (probability > 0 AND probability <= 1),
    -- NULL: until deleted. 0: spent.
    times_left      integer CHECK (times_left >= 0),
    service         text,
    delay_seconds   double precision,
    -- An unsigned number in the bits of a signed one.
    seed            bigint NOT NULL,
    -- How often it was drawn for, hit or not: the number of the next draw.
    draws           bigint NOT NULL DEFAULT 0,
    strikes         integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL
);
CREATE INDEX faults_vm ON sim.faults (vm_id, id);

CREATE TABLE sim.repositories (
    os          text PRIMARY KEY,
    updated_at  timestamptz NOT NULL
);

CREATE TABLE sim.repository_packages (
    os          text NOT NULL REFERENCES sim.repositories (os) ON DELETE CASCADE,
    name        text NOT NULL,
    -- Oldest first: the position is the order.
    versions    text[] NOT NULL,
    PRIMARY KEY (os, name)
);
