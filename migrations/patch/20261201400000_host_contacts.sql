-- Hosts that the last scan did not reach. A scan that reaches the host deletes its row.
CREATE TABLE patch.host_contacts (
    ci_id           text COLLATE "C" PRIMARY KEY,
    unreachable_at  timestamptz NOT NULL,
    reason          text NOT NULL
);

-- Finds what the last run left of a host.
CREATE INDEX run_hosts_of_host ON patch.run_hosts (ci_id, run_id DESC);
