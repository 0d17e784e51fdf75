create table leases.workers (
    id          uuid        primary key,
    name        text        not null check (char_length(name) between 1 and 200),
    started_at  timestamptz not null default clock_timestamp(),
    lease_until timestamptz not null
);

comment on table leases.workers is
    'One row per life of a worker process. A row whose lease_until has passed is dead for good: its process comes back under a new id';
comment on column leases.workers.name is 'for people: which service on which machine';
comment on column leases.workers.lease_until is 'by the clock of this server; moved on by heartbeats while it lies ahead';
