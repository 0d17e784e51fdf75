-- Names of the packages whose installed version the host's repositories still offer: an update of them can be undone by
-- the package manager. Apart from the packages themselves, because it changes with the repositories and not with what is installed.
ALTER TABLE patch.host_scans ADD COLUMN returnable jsonb NOT NULL DEFAULT '[]';
