//! What is answered to Envoy: forward, or deny with a complete HTTP response.

use std::borrow::Cow;

use super::grant::Grant;

/// The answer to one check. Only [`Verdict::Forward`] may ever be encoded as gRPC status code 0: to Envoy code 0 is
/// "allow", whatever else the answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes to the upstream with these header mutations.
    Forward(Grant),
    /// The client gets this response; nothing goes upstream.
    Deny(Denial),
}

/// A complete HTTP response.
#[derive(Clone, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status; 2xx for our self-navigating page and for the pages of the login routes only.
    pub status: u16,
    /// Header fields; repeated names are sent repeatedly.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body; its type is among the headers.
    pub body: String,
    /// Why, for logs and metrics; not shown to the client.
    pub reason: Reason,
}

/// Why a request was answered as it was: the `reason` label of `coatcheck_decisions_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A session with a valid token.
    Session,
    /// A rule says that no session is needed.
    Public,
    /// A CORS preflight: forwarded without identity.
    Preflight,
    /// A rule says that a session is optional, and there is none that counts.
    Anonymous,
    /// A session is needed and there is none.
    NoSession,
    /// Sent to its own URL once more, now same-site, so that a Strict cookie arrives.
    Bounce,
    /// The session is over (idle or absolute lifetime), or its refresh token is dead.
    Ended,
    /// The session was used by another browser than it is bound to.
    BindMismatch,
    /// Another site made the browser send it.
    Csrf,
    /// A required claim is missing.
    Claims,
    /// No app for this host or `app` extension.
    UnknownApp,
    /// The `policy` extension names no policy of the app.
    UnknownPolicy,
    /// A target that is no path.
    Malformed,
    /// An answer of the login routes, which Check gave itself (`login.mode: in_band`).
    LoginRoute,
    /// The store does not answer.
    Store,
    /// The token ended and the provider does not answer, or not in time; or a login route that Check answers itself did not
    /// answer in time.
    Provider,
    /// More checks at once than we take.
    Overload,
}

impl Reason {
    /// All reasons, so that metrics can prepare a counter for each.
    pub const ALL: [Self; 17] = [
        Self::Session,
        Self::Public,
        Self::Preflight,
        Self::Anonymous,
        Self::NoSession,
        Self::Bounce,
        Self::Ended,
        Self::BindMismatch,
        Self::Csrf,
        Self::Claims,
        Self::UnknownApp,
        Self::UnknownPolicy,
        Self::Malformed,
        Self::LoginRoute,
        Self::Store,
        Self::Provider,
        Self::Overload,
    ];

    /// The `decision` label: what became of the request.
    #[must_use]
    pub const fn decision(self) -> &'static str {
        match self {
            Self::Session | Self::Public | Self::Preflight | Self::Anonymous => "forward",
            Self::NoSession | Self::Bounce | Self::Ended | Self::BindMismatch => "login",
            Self::Csrf | Self::Claims | Self::UnknownApp | Self::UnknownPolicy | Self::Malformed => "deny",
            Self::LoginRoute => "route",
            Self::Store | Self::Provider | Self::Overload => "retry_later",
        }
    }

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Public => "public",
            Self::Preflight => "preflight",
            Self::Anonymous => "anonymous",
            Self::NoSession => "no_session",
            Self::Bounce => "bounce",
            Self::Ended => "ended",
            Self::BindMismatch => "bind_mismatch",
            Self::Csrf => "csrf",
            Self::Claims => "claims",
            Self::UnknownApp => "unknown_app",
            Self::UnknownPolicy => "unknown_policy",
            Self::Malformed => "malformed",
            Self::LoginRoute => "login_route",
            Self::Store => "store",
            Self::Provider => "provider",
            Self::Overload => "overload",
        }
    }
}

impl Verdict {
    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Forward(grant) => grant.reason,
            Self::Deny(denial) => denial.reason,
        }
    }
}

/// Prints status and reason: locations and bodies may hold what a user typed.
impl std::fmt::Debug for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Denial").field("status", &self.status).field("reason", &self.reason).finish_non_exhaustive()
    }
}
