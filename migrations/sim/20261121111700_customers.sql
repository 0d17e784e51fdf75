-- Installations of a product at customers: what is deployed to and watched where no real ones are.
CREATE TABLE sim.customers (
    id         text PRIMARY KEY,
    -- Its version, its deployments, its faults.
    body       jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);
