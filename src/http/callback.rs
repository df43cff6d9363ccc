//! `GET /auth/callback`: the return from the provider.

use super::Web;
use super::login::{is_prefetch, provider_notice};
use super::respond::{Answer, login_link};
use crate::core::app::SameSite;
use crate::core::callback::AuthorizeError;
use crate::core::page::{Notice, Page};
use crate::core::return_to::ReturnTo;
use crate::core::visit::Visit;
use crate::login::{Refusal, Refused, SignedIn};

/// Finishes a login.
pub(super) async fn show(web: &Web, visit: &Visit<'_>, query: &str) -> Answer {
    if is_prefetch(visit) {
        return Answer::told(visit, &Notice::SIGN_IN_REQUIRED, Some(&visit.app.login_path()));
    }
    match web.login.finish(visit, query).await {
        Ok(signed_in) => welcome(visit, signed_in),
        Err(refused) => explain(visit, refused),
    }
}

fn welcome(visit: &Visit<'_>, signed_in: SignedIn) -> Answer {
    let SignedIn { return_to, cookies, tag } = signed_in;
    tracing::info!(record.app = %visit.app.name, session.tag = %tag, outcome = "signed_in", "a login is finished");
    let answer = match visit.app.cookie.same_site {
        // A redirect would still belong to the navigation that the provider began, and its target would be asked
        // for without the cookie that is set here. The page begins a navigation of our own.
        SameSite::Strict => Answer::page(200, &Page::navigate(return_to.as_str())),
        SameSite::Lax => Answer::redirect(303, return_to.as_str().to_owned()),
    };
    answer.cookies(cookies)
}

fn explain(visit: &Visit<'_>, refused: Refused) -> Answer {
    let Refused { why, return_to, cookies } = refused;
    let login = login_link(visit.app, return_to.as_ref());
    let told = |notice| Answer::told(visit, notice, Some(&login));
    let answer = match &why {
        Refusal::Malformed | Refusal::Unknown => told(&Notice::SIGN_IN_UNKNOWN),
        Refusal::Expired => told(&Notice::SIGN_IN_EXPIRED),
        Refusal::WrongIssuer => {
            Answer::failed(visit, &Notice::SIGN_IN_REFUSED, Some(&login), &"wrong or missing issuer in the answer")
        }
        Refusal::Used => Answer::told(visit, &Notice::SIGN_IN_USED, return_to.as_ref().map(ReturnTo::as_str)),
        Refusal::NotAuthorized(error) => {
            Answer::failed(visit, authorize_notice(*error), Some(&login), &describe(*error))
        }
        Refusal::Provider(error) => Answer::failed(visit, provider_notice(error), Some(&login), error),
        Refusal::Paused(error) => Answer::failed(visit, &Notice::SIGN_IN_PAUSED, Some(&login), error),
        Refusal::Lost(error) => Answer::failed(visit, &Notice::SIGN_IN_LOST, Some(&login), error),
        Refusal::Ended => told(&Notice::SIGN_IN_ENDED),
    };
    answer.cookies(cookies)
}

const fn authorize_notice(error: AuthorizeError) -> &'static Notice {
    match error {
        AuthorizeError::Denied => &Notice::SIGN_IN_DENIED,
        AuthorizeError::Interaction => &Notice::SIGN_IN_INTERACTION,
        AuthorizeError::Unavailable => &Notice::PROVIDER_UNAVAILABLE,
        AuthorizeError::Misconfigured => &Notice::PROVIDER_MISCONFIGURED,
        AuthorizeError::Other => &Notice::SIGN_IN_REFUSED,
    }
}

/// For the log: our words, never the provider's.
const fn describe(error: AuthorizeError) -> &'static str {
    match error {
        AuthorizeError::Denied => "the provider answered access_denied",
        AuthorizeError::Interaction => "the provider asks for interaction",
        AuthorizeError::Unavailable => "the provider answered that it is unavailable",
        AuthorizeError::Misconfigured => "the provider refused the authorization request",
        AuthorizeError::Other => "the provider answered an unknown error",
    }
}
