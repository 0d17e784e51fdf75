-- A trigger for each row does not see TRUNCATE.
CREATE TRIGGER audit_log_is_not_truncated BEFORE TRUNCATE ON platform.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_audit_change();
