-- Days from publication to the due date; one row for ever.
CREATE TABLE patch.service_levels (
    singleton       boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    exploited_days  integer NOT NULL DEFAULT 14,
    critical_days   integer NOT NULL DEFAULT 7,
    high_days       integer NOT NULL DEFAULT 30,
    other_days      integer NOT NULL DEFAULT 90
);
INSERT INTO patch.service_levels DEFAULT VALUES;
