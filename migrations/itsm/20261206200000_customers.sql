-- The customer that a webhook is for: each receiver has a secret for each customer.
ALTER TABLE itsm.notifications ADD COLUMN customer text;
