-- The hosts that lack a fix of some advisories, a page of them. A function, so that it is planned once a session: planning
-- takes longer than walking the index, and the estimate for a list of unknown length would have it planned each time.
CREATE FUNCTION patch.list_affected(advisories integer[], after integer, page_size bigint)
RETURNS TABLE (edition bigint, id integer, ci_id text, active boolean, findings integer[])
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    -- Each advisory's index is walked from `after` on, for a page and no further.
    RETURN QUERY
        SELECT e.number, h.id, h.ci_id, h.active, coalesce(f.findings, '{}')
        FROM (SELECT DISTINCT next.host_id FROM unnest(advisories) AS n (advisory_no)
              CROSS JOIN LATERAL (SELECT a.host_id FROM patch.affected a
                  WHERE a.advisory_no = n.advisory_no AND a.host_id > after ORDER BY a.host_id LIMIT page_size) next
              ORDER BY 1 LIMIT page_size) page
        CROSS JOIN patch.edition e JOIN patch.hosts h ON h.id = page.host_id JOIN patch.host_scans s ON s.host_id = h.id
        LEFT JOIN patch.set_findings f ON f.set_no = s.set_no
        ORDER BY h.id;
END
$$;
