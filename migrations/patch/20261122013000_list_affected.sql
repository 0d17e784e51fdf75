-- The page goes by numbers alone: what a host of a number is called, and what is said of a CVE, is remembered by whoever asks.
DROP INDEX patch.hosts_named;
DROP FUNCTION patch.get_affected_page;
-- For each of some advisories how many hosts lack it, and the first of them after `after`, in the order of their numbers, with
-- `finding_no` as in the pairs; each as one row of arrays: sending many rows takes longer than finding them.
-- A function, so that it is planned once a session: planning takes longer than walking the index, and an advisory at a time, so that
-- only its partition is looked into. Planned while a table was empty, it uses the table's index all the same. STABLE, so all of it is
-- of one moment.
CREATE FUNCTION patch.list_affected(advisories integer[], after integer, page_size bigint)
RETURNS TABLE (edition bigint, hosts bigint, host_ids integer[], finding_nos integer[])
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    advisory integer;
BEGIN
    FOREACH advisory IN ARRAY advisories LOOP
        SELECT array_agg(p.host_id), array_agg(p.finding_no) INTO host_ids, finding_nos FROM (
            SELECT a.host_id, a.finding_no FROM patch.affected a
            WHERE a.advisory_no = advisory AND a.host_id > after ORDER BY a.host_id LIMIT page_size) p;
        SELECT e.number, (SELECT sum(c.hosts) FROM patch.advisory_counts c WHERE c.advisory_no = advisory)
            INTO edition, hosts FROM patch.edition e;
        RETURN NEXT;
    END LOOP;
END
$$;
