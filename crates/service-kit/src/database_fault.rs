//! What an error of the database means for the work that met it. This is the only place that decides it: handlers, reads,
//! migrations and the run engine all ask here, by way of [`crate::ApiError`].

use sqlx::{
    Error,
    postgres::{PgDatabaseError, PgSeverity},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFault {
    /// The database cannot be reached, or takes no writes now. The same work succeeds later.
    Away,
    /// Other transactions change the same rows. The same work succeeds when it is repeated.
    Busy,
    /// A text has a character that PostgreSQL cannot store.
    Unstorable,
    /// A broken invariant. A repetition fails again.
    Defect,
}

impl DatabaseFault {
    pub fn of(error: &Error) -> Self {
        match error {
            Error::PoolTimedOut | Error::PoolClosed | Error::Io(_) | Error::Tls(_) | Error::WorkerCrashed => {
                Self::Away
            }
            // What the other end sends is not PostgreSQL. A proxy without a server behind it closes the connection or answers
            // in a protocol of its own. Queries have a fixed number of parameters, so no query of ours can cause it.
            Error::Protocol(_) => Self::Away,
            Error::Database(error) => error
                .try_downcast_ref::<PgDatabaseError>()
                .map_or(Self::Defect, |error| Self::reported(error.severity(), error.code())),
            _ => Self::Defect,
        }
    }

    /// The meaning of an error that the server, or a proxy in front of it, reports.
    fn reported(severity: PgSeverity, code: &str) -> Self {
        // The server ended the session or refused to begin one, whatever the reason: it starts, stops or recovers, has
        // too many connections, or does not know the user or the database.
        if matches!(severity, PgSeverity::Fatal | PgSeverity::Panic) {
            return Self::Away;
        }
        match code {
            // The server is a standby, or a primary that was made read-only.
            "25006" => Self::Away,
            // Connection exceptions, insufficient resources, operator intervention.
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => Self::Away,
            "40001" | "40P01" | "55P03" => Self::Busy,
            "22021" | "22P05" => Self::Unstorable,
            _ => Self::Defect,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_while_connecting_mean_that_the_database_is_away() {
        for error in [
            Error::PoolTimedOut,
            Error::Io(io::ErrorKind::UnexpectedEof.into()),
            Error::Tls("the server does not support TLS".into()),
            Error::Protocol("unexpected response from SSLRequest: 0x00".into()),
        ] {
            assert_eq!(DatabaseFault::of(&error), DatabaseFault::Away, "{error}");
        }
        assert_eq!(DatabaseFault::of(&Error::RowNotFound), DatabaseFault::Defect);
        assert_eq!(DatabaseFault::of(&Error::Decode("not a colour".into())), DatabaseFault::Defect);
    }

    #[test]
    fn reports_of_the_server_are_judged_by_severity_and_class() {
        use DatabaseFault::{Away, Busy, Defect, Unstorable};
        use PgSeverity::{Error as Statement, Fatal};
        for (severity, code, meaning) in [
            (Fatal, "28P01", Away),
            (Fatal, "3D000", Away),
            (Fatal, "25P03", Away),
            (Statement, "25006", Away),
            (Statement, "57P01", Away),
            (Statement, "08006", Away),
            (Statement, "53100", Away),
            (Statement, "40P01", Busy),
            (Statement, "22021", Unstorable),
            (Statement, "23505", Defect),
            (Statement, "57014", Defect),
            (Statement, "42P01", Defect),
        ] {
            assert_eq!(DatabaseFault::reported(severity, code), meaning, "{severity:?} {code}");
        }
    }
}
