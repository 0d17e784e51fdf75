-- A page of a search for a package reads its hosts with one statement, together with what it shows of them.

-- Functions that call it may have switched these off.
ALTER FUNCTION patch.list_sets_with(integer[], integer, integer, integer) SET enable_bitmapscan = on;
ALTER FUNCTION patch.list_sets_with(integer[], integer, integer, integer) SET enable_sort = on;

-- A page of the active hosts that have one of some packages, in the order of their sets and numbers. The index on sets and
-- hosts is read in its order, so that the statement stops at the end of the page, however many hosts a set has.
CREATE FUNCTION patch.list_hosts_with(packages integer[], after_set integer, after_host integer, page_size integer)
RETURNS TABLE (in_set integer, host integer, name text, host_env text, scanned timestamptz)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    last_set integer;
    place integer := after_set - 1;
    found_hosts integer := 0;
    in_page integer;
    of_sets integer[];
BEGIN
    SELECT max(s.no) INTO last_set FROM patch.package_sets s;
    LOOP
        of_sets := ARRAY(SELECT * FROM patch.list_sets_with(packages, place, last_set, page_size));
        EXIT WHEN of_sets = '{}';
        RETURN QUERY SELECT s.set_no, s.host_id, h.ci_id, h.env, s.last_scanned
            FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active
            WHERE s.set_no = ANY(of_sets) AND (s.set_no, s.host_id) > (after_set, after_host)
            ORDER BY s.set_no, s.host_id LIMIT page_size - found_hosts;
        GET DIAGNOSTICS in_page = ROW_COUNT;
        found_hosts := found_hosts + in_page;
        EXIT WHEN found_hosts >= page_size OR cardinality(of_sets) < page_size;
        place := of_sets[cardinality(of_sets)];
    END LOOP;
END
$$;
