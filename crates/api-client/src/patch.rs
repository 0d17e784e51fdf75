//! Client of the service.
