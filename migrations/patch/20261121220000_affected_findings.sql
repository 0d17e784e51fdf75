-- A pair says itself which fix the host lacks, so that a page of an advisory need not look into the host's package set. NULL:
-- several, or written before pairs could say so; then what the set lacks tells.
ALTER TABLE patch.affected ADD COLUMN finding_no integer;

-- What a page shows of a host beside it, without reading the host's whole row.
CREATE UNIQUE INDEX hosts_named ON patch.hosts (id) INCLUDE (ci_id);

DROP FUNCTION patch.list_affected;
-- The hosts that lack a fix of some advisories, a page of them, in order; `finding_no` as in the pairs. A function, so that it is
-- planned once a session: planning takes longer than walking the index, and the estimate for a list of unknown length would
-- have it planned each time.
CREATE FUNCTION patch.page_of_affected(advisories integer[], after integer, page_size bigint)
RETURNS TABLE (host_id integer, finding_no integer)
LANGUAGE plpgsql STABLE ROWS 100 SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    only_one integer := advisories[1];
BEGIN
    IF cardinality(advisories) = 1 THEN
        RETURN QUERY SELECT a.host_id, a.finding_no FROM patch.affected a
            WHERE a.advisory_no = only_one AND a.host_id > after ORDER BY a.host_id LIMIT page_size;
    ELSE
        -- Each advisory's index is walked from `after` on, for a page and no further.
        RETURN QUERY SELECT next.host_id, CASE count(*) WHEN 1 THEN min(next.finding_no) END
            FROM unnest(advisories) AS n (advisory_no) CROSS JOIN LATERAL (
                SELECT a.host_id, a.finding_no FROM patch.affected a
                WHERE a.advisory_no = n.advisory_no AND a.host_id > after ORDER BY a.host_id LIMIT page_size) next
            GROUP BY 1 ORDER BY 1 LIMIT page_size;
    END IF;
END
$$;
