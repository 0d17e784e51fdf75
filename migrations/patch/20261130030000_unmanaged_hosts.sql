-- A host without a known operating system that a scan could not read either: patching does not manage it yet.
ALTER TABLE patch.scan_hosts ADD COLUMN unmanaged boolean NOT NULL DEFAULT false;
