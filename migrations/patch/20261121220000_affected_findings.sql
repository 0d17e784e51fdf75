-- A pair says itself which fix the host lacks, so that a page of an advisory need not look into the host's package set. NULL:
-- several, or written before pairs could say so; then what the set lacks tells.
ALTER TABLE patch.affected ADD COLUMN finding_no integer;

-- What a page shows of a host beside it, without reading the host's whole row.
CREATE UNIQUE INDEX hosts_named ON patch.hosts (id) INCLUDE (ci_id);

DROP FUNCTION patch.list_affected;
-- A page of the hosts that lack a fix of some advisories, in the order of their numbers, with `finding_no` as in the pairs; how
-- many lack each advisory; and what is said of some CVEs. One row of arrays: sending many rows takes longer than finding them.
-- A function, so that it is planned once a session: planning takes longer than walking the index, and the estimates for lists of
-- unknown length would have it planned each time; planned while a table was empty, it uses the table's index all the same. STABLE, so
-- all of it is of one moment.
CREATE FUNCTION patch.get_affected_page(advisories integer[], about text[], after integer, page_size bigint)
RETURNS TABLE (edition bigint, counts bigint[], probabilities jsonb, notes jsonb, host_ids integer[], ci_ids text[],
    finding_nos integer[])
LANGUAGE plpgsql STABLE ROWS 1 SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    only_one integer := advisories[1];
BEGIN
    IF cardinality(advisories) = 1 THEN
        SELECT array_agg(p.id), array_agg(p.ci_id), array_agg(p.finding_no) INTO host_ids, ci_ids, finding_nos FROM (
            SELECT h.id, h.ci_id, next.finding_no FROM (
                SELECT a.host_id, a.finding_no FROM patch.affected a
                WHERE a.advisory_no = only_one AND a.host_id > after ORDER BY a.host_id LIMIT page_size) next
            JOIN patch.hosts h ON h.id = next.host_id ORDER BY next.host_id) p;
    ELSE
        -- Each advisory's index is walked from `after` on, for a page and no further.
        SELECT array_agg(p.id), array_agg(p.ci_id), array_agg(p.finding_no) INTO host_ids, ci_ids, finding_nos FROM (
            SELECT h.id, h.ci_id, next.finding_no FROM (
                SELECT each.host_id, CASE count(*) WHEN 1 THEN min(each.finding_no) END AS finding_no
                FROM unnest(advisories) AS n (advisory_no) CROSS JOIN LATERAL (
                    SELECT a.host_id, a.finding_no FROM patch.affected a
                    WHERE a.advisory_no = n.advisory_no AND a.host_id > after ORDER BY a.host_id LIMIT page_size) each
                GROUP BY 1 ORDER BY 1 LIMIT page_size) next
            JOIN patch.hosts h ON h.id = next.host_id ORDER BY next.host_id) p;
    END IF;
    SELECT e.number,
        ARRAY(SELECT (SELECT coalesce(sum(c.hosts), 0)::bigint FROM patch.advisory_counts c WHERE c.advisory_no = n.no)
              FROM unnest(advisories) WITH ORDINALITY AS n (no, place) ORDER BY n.place),
        (SELECT jsonb_object_agg(p.cve, p.probability) FROM patch.exploit_predictions p WHERE p.cve = ANY(about)),
        (SELECT jsonb_agg(n.body ORDER BY n.cve) FROM (
            SELECT n.cve, n.body FROM patch.cve_notes n WHERE n.cve = ANY(about) ORDER BY n.cve LIMIT 500) n)
        INTO edition, counts, probabilities, notes FROM patch.edition e;
    RETURN NEXT;
END
$$;
