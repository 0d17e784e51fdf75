-- How many hosts miss the fixes of each advisory, day by day. A day has a row only if the number differs from the one before, so a
-- fleet that is patched once a month writes little. Rows of 13 months are kept, and of each advisory the last one before them.

CREATE TABLE patch.advisory_history (
    advisory_no integer NOT NULL,
    day         date NOT NULL,
    hosts       bigint NOT NULL,
    PRIMARY KEY (advisory_no, day)
);
CREATE INDEX advisory_history_day ON patch.advisory_history (day);

-- The last number of each advisory, so that the next one is compared without reading the history.
CREATE TABLE patch.advisory_exposure (
    advisory_no integer PRIMARY KEY,
    hosts       bigint NOT NULL
) WITH (fillfactor = 70);
