-- The spellings of releases that CIs have are some dozens, found by skipping through this index.
CREATE INDEX cis_os ON cmdb.cis ((tags ->> 'os'), id) WHERE tags ->> 'os' IS NOT NULL;
