//! What we tell people, word by word: what happened, and what to do now.

/// One thing to tell.
#[derive(Debug, PartialEq, Eq)]
pub struct Notice {
    /// For programs and logs.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The headline.
    pub title: &'static str,
    /// What happened and what to do.
    pub text: &'static str,
    /// The label of the way on.
    pub link: &'static str,
}

/// While signing in.
impl Notice {
    /// The attempt took too long.
    pub const SIGN_IN_EXPIRED: Self = Self {
        name: "sign-in-expired",
        status: 400,
        title: "That took a little too long",
        text: "Signing in has to be finished within a few minutes. Nothing is lost: please start again.",
        link: "Sign in again",
    };
    /// No such attempt in this browser, or an answer that makes no sense.
    pub const SIGN_IN_UNKNOWN: Self = Self {
        name: "sign-in-unknown",
        status: 400,
        title: "This sign-in cannot be continued",
        text: "It was finished already, or begun in another browser, or cookies are blocked for this site. \
               If you are not signed in yet, please start again.",
        link: "Sign in",
    };
    /// The same answer a second time.
    pub const SIGN_IN_USED: Self = Self {
        name: "sign-in-used",
        status: 400,
        title: "This sign-in is finished already",
        text: "The page was loaded a second time, which does no harm. You can simply go on.",
        link: "Continue",
    };
    /// The user, or a rule at the provider, said no.
    pub const SIGN_IN_DENIED: Self = Self {
        name: "sign-in-denied",
        status: 403,
        title: "You were not signed in",
        text: "The sign-in was cancelled, or your identity provider does not let you in here. \
               You can try again; if it happens again, ask whoever manages your account.",
        link: "Try again",
    };
    /// `prompt=none` did not work out.
    pub const SIGN_IN_INTERACTION: Self = Self {
        name: "sign-in-interaction",
        status: 401,
        title: "Please sign in",
        text: "You could not be signed in without being asked. Please sign in yourself.",
        link: "Sign in",
    };
    /// The provider's answer was not accepted.
    pub const SIGN_IN_REFUSED: Self = Self {
        name: "sign-in-refused",
        status: 400,
        title: "You were not signed in",
        text: "The answer of your identity provider could not be accepted. Please start again. \
               If it happens again, tell the people who run this site the reference below.",
        link: "Start again",
    };
    /// A logout of all sessions overtook the login.
    pub const SIGN_IN_ENDED: Self = Self {
        name: "sign-in-ended",
        status: 400,
        title: "You were signed out meanwhile",
        text: "Your identity provider ended the session while you were signing in. Please sign in again.",
        link: "Sign in again",
    };
    /// The provider does not answer.
    pub const PROVIDER_UNAVAILABLE: Self = Self {
        name: "provider-unavailable",
        status: 503,
        title: "Signing in does not work right now",
        text: "Your identity provider does not answer. Please try again in a minute.",
        link: "Try again",
    };
    /// The provider refuses us as a client.
    pub const PROVIDER_MISCONFIGURED: Self = Self {
        name: "provider-misconfigured",
        status: 502,
        title: "Signing in does not work right now",
        text: "This site and its identity provider do not agree about their connection, which you cannot fix \
               yourself. Please tell the people who run this site the reference below.",
        link: "Try again",
    };
    /// The store fails before the code was redeemed: the very same address works again.
    pub const SIGN_IN_PAUSED: Self = Self {
        name: "sign-in-paused",
        status: 503,
        title: "You are almost signed in",
        text: "A part of this site does not answer right now. Please reload this page in a few seconds.",
        link: "Start again",
    };
    /// The store fails after the code was redeemed.
    pub const SIGN_IN_LOST: Self = Self {
        name: "sign-in-lost",
        status: 503,
        title: "You were not signed in",
        text: "A part of this site does not answer right now. Please start again in a minute.",
        link: "Start again",
    };
}

/// While signing out.
impl Notice {
    /// The store fails: nothing is pretended.
    pub const SIGN_OUT_FAILED: Self = Self {
        name: "sign-out-failed",
        status: 503,
        title: "You are still signed in",
        text: "You could not be signed out, because a part of this site does not answer right now. \
               Please try again in a few seconds.",
        link: "Try again",
    };
    /// The return from the provider has another state than the one that we sent.
    pub const SIGN_OUT_UNVERIFIED: Self = Self {
        name: "sign-out-unverified",
        status: 400,
        title: "You are signed out here",
        text: "The answer of your identity provider could not be recognised, so you may still be signed in there. \
               On a shared computer, sign out there as well and close the browser.",
        link: "Back to the site",
    };
    /// Not from our own pages.
    pub const SIGN_OUT_FOREIGN: Self = Self {
        name: "sign-out-foreign",
        status: 403,
        title: "You were not signed out",
        text: "The request to sign out did not come from this site's own pages. If you want to sign out, do it here.",
        link: "Go to sign out",
    };
}

/// While using the app: the answers of Check, and of `/auth/session`.
impl Notice {
    /// No session, and no redirect that fits.
    pub const SIGN_IN_REQUIRED: Self = Self {
        name: "sign-in-required",
        status: 401,
        title: "Please sign in",
        text: "This needs you to be signed in.",
        link: "Sign in",
    };
    /// A form was sent without a session: redirecting would lose it silently.
    pub const FORM_NOT_SENT: Self = Self {
        name: "form-not-sent",
        status: 401,
        title: "You are signed out",
        text: "Your session has ended, so your form was not sent. Go back in your browser and keep a copy of what \
               you typed, then sign in and send it again.",
        link: "Sign in",
    };
    /// Signed in, but not allowed.
    pub const FORBIDDEN: Self = Self {
        name: "forbidden",
        status: 403,
        title: "You may not see this",
        text: "You are signed in, but your account does not have access here. If it should, ask whoever manages it.",
        link: "Back to the site",
    };
    /// The CSRF defence.
    pub const CROSS_SITE: Self = Self {
        name: "cross-site",
        status: 403,
        title: "This request was not accepted",
        text: "It did not come from this site's own pages, so it was stopped to protect you.",
        link: "Back to the site",
    };
    /// Store or provider trouble.
    pub const UNAVAILABLE: Self = Self {
        name: "unavailable",
        status: 503,
        title: "This does not work right now",
        text: "A part of this site does not answer. You are not signed out: please try again in a few seconds.",
        link: "Try again",
    };
}

/// Requests that are not for us.
impl Notice {
    /// Not a request that can be read.
    pub const BAD_REQUEST: Self = Self {
        name: "bad-request",
        status: 400,
        title: "This request makes no sense",
        text: "Something in the address or in the request is malformed.",
        link: "Back to the site",
    };
    /// No such route.
    pub const NOT_FOUND: Self = Self {
        name: "not-found",
        status: 404,
        title: "There is nothing here",
        text: "The address may be mistyped or out of date.",
        link: "Back to the site",
    };
    /// The route exists, the method does not.
    pub const METHOD_NOT_ALLOWED: Self = Self {
        name: "method-not-allowed",
        status: 405,
        title: "This cannot be done here",
        text: "The address exists, but not for this kind of request.",
        link: "Back to the site",
    };
    /// A body that does not arrive.
    pub const TOO_SLOW: Self = Self {
        name: "too-slow",
        status: 408,
        title: "This request took too long",
        text: "The rest of the request did not arrive in time.",
        link: "Back to the site",
    };
    /// A body over the limit.
    pub const TOO_LARGE: Self = Self {
        name: "too-large",
        status: 413,
        title: "This request is too large",
        text: "Nothing of this size is expected here.",
        link: "Back to the site",
    };
    /// No app of ours has this host.
    pub const UNKNOWN_HOST: Self = Self {
        name: "unknown-host",
        status: 421,
        title: "This site is not served here",
        text: "No site is configured under the name that was asked for.",
        link: "Back to the site",
    };
}
