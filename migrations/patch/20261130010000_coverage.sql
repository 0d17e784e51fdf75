-- Knowledge is part of every answer: what the feeds know of each release and up to when, what could not be read of a host, and why a
-- status is unknown.

-- A large fleet takes longer to read than a request may take.
SET LOCAL statement_timeout = 0;

CREATE TABLE patch.coverage (
    -- As an inventory names it; paid channels are releases of their own.
    release     text COLLATE "C" NOT NULL,
    -- The publisher of the notices.
    feed        text COLLATE "C" NOT NULL,
    -- In force.
    notices     bigint NOT NULL,
    -- Publication of the newest one.
    newest      timestamptz NOT NULL,
    -- When a feed with notices of the release was last imported to its end.
    fetched_at  timestamptz NOT NULL,
    PRIMARY KEY (release, feed)
);
-- Earlier imports did not record their releases. The last successful import is the best estimate; without one, the newest notice.
INSERT INTO patch.coverage (release, feed, notices, newest, fetched_at)
    SELECT p.os, a.source, count(DISTINCT a.no), max(a.published), coalesce(
        (SELECT max(i.ended_at) FROM patch.feed_imports i
         WHERE i.status = 'succeeded' AND i.report ->> 'format' NOT IN ('kev-json', 'kev-csv', 'epss-csv', 'nvd')), max(a.modified))
    FROM patch.advisories a JOIN patch.advisory_packages p ON p.advisory_no = a.no
    WHERE a.in_force AND p.fixed IS NOT NULL GROUP BY 1, 2;

-- What the vendor says instead of a fix; NULL: it has one, or it was stored without.
ALTER TABLE patch.advisory_packages ADD COLUMN no_fix text
    CHECK (no_fix IN ('open', 'under_investigation', 'minor', 'postponed', 'not_planned', 'end_of_life'));

ALTER TABLE patch.policies ADD COLUMN max_feed_age_hours integer NOT NULL DEFAULT 168;

-- The releases whose advisories apply to the set, and counts of its packages, beside what is shown with them.
ALTER TABLE patch.set_findings
    ADD COLUMN releases text[] NOT NULL DEFAULT '{}',
    ADD COLUMN packages integer NOT NULL DEFAULT 0,
    ADD COLUMN third_party integer NOT NULL DEFAULT 0,
    ADD COLUMN unknown_vendor integer NOT NULL DEFAULT 0,
    ADD COLUMN unread integer NOT NULL DEFAULT 0;
UPDATE patch.set_findings f SET
    releases = s.os || ARRAY(SELECT jsonb_array_elements_text(s.facts -> 'channels')),
    packages = cardinality(s.package_nos),
    unknown_vendor = cardinality(s.package_nos)
FROM patch.package_sets s WHERE s.no = f.set_no;

-- What could not be read: place and reason of each; the first ones, if there are many.
ALTER TABLE patch.package_sets ADD COLUMN unread jsonb NOT NULL DEFAULT '[]';

ALTER TABLE patch.compliance
    ADD COLUMN cause text CHECK (cause IN ('never_scanned', 'scan_too_old', 'not_covered', 'out_of_support', 'feed_too_old', 'partly_read')),
    -- The release that the cause is about.
    ADD COLUMN cause_release text,
    ADD COLUMN unread integer NOT NULL DEFAULT 0;

UPDATE patch.edition SET number = number + 1;
INSERT INTO patch.due_hosts SELECT id FROM patch.hosts WHERE active ON CONFLICT DO NOTHING;
