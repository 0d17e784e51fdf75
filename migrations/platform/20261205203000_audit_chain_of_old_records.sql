-- In a migration of its own: the triggers are committed, so that writers do not wait while old records are queued.
INSERT INTO platform.audit_unsealed (sequence, service)
SELECT sequence, service FROM platform.audit_log log
WHERE NOT EXISTS (SELECT FROM platform.audit_seals seal WHERE seal.sequence = log.sequence)
ON CONFLICT DO NOTHING;
