//! What a Redis error means for the caller and for the connection it came over. The texts made here
//! name codes and causes, never keys or values.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// The reaction that an error asks for.
pub(super) fn store_error(error: &RedisError) -> StoreError {
    let text = describe(error);
    if for_an_operator(error) { StoreError::Refused(text) } else { StoreError::Unavailable(text) }
}

/// Whether the connection is of no use any more after this error.
pub(super) fn breaks_connection(error: &RedisError) -> bool {
    if error.is_timeout() {
        // Slowness is counted apart.
        return false;
    }
    error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            // After nonsense nobody knows where the next answer begins.
            ErrorKind::Parse
                | ErrorKind::Io
                | ErrorKind::AuthenticationFailed
                // A failover: the name leads to another server now.
                | ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

/// Waiting does not help: credentials, rights, TLS trust, a full memory, a wrong kind of server.
fn for_an_operator(error: &RedisError) -> bool {
    if let Some(code) = error.code()
        && matches!(code, "WRONGPASS" | "NOAUTH" | "NOPERM" | "OOM" | "MISCONF" | "WRONGTYPE" | "ERR" | "NOPROTO")
    {
        return true;
    }
    if error.kind() == ErrorKind::Io {
        return is_tls(error);
    }
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::RESP3NotSupported
            | ErrorKind::Client
            | ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(
                ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::CrossSlot
                    | ServerErrorKind::ExecAbort
                    | ServerErrorKind::ResponseError
            )
    )
}

/// The TLS library reports what it rejects as invalid data.
fn is_tls(error: &RedisError) -> bool {
    // The source is the shared pointer, not what it points to.
    error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>())
        .and_then(|shared| shared.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == io::ErrorKind::InvalidData)
}

fn describe(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    match error.code() {
        Some("READONLY") => return "READONLY: the server is a replica".to_owned(),
        Some("MOVED" | "ASK" | "CROSSSLOT") => return "the server is part of a Redis Cluster".to_owned(),
        Some("NOAUTH") => return "NOAUTH: a password is needed".to_owned(),
        Some("NOPERM") => return "NOPERM: the user may not run a command or touch a key".to_owned(),
        // The code only: details may quote what we sent.
        Some(code) => return code.to_owned(),
        None => {}
    }
    let kind = error.kind();
    if kind == ErrorKind::Io {
        // From the operating system or the TLS library.
        return error.to_string();
    }
    if kind == ErrorKind::AuthenticationFailed {
        return "wrong user name or password".to_owned();
    }
    error.category().to_owned()
}
