-- The person as whom a link decides. Empty for links that were sent before: they belong to whoever has the address.
ALTER TABLE itsm.approval_links ADD COLUMN subject text;
