//! `/auth/logout` and `/auth/logout/done`.

use url::form_urlencoded;

use super::Web;
use super::respond::Answer;
use crate::core::page::{LOGOUT_SECURITY_POLICY, Notice, Page};
use crate::core::visit::Visit;
use crate::logout::{Logout, Return, comes_from_own_page};

/// `GET`: one button, because a link or an image must not sign anybody out.
pub(super) fn show(visit: &Visit<'_>) -> Answer {
    Answer::page(200, &Page::logout(&visit.app.logout_path())).policy(LOGOUT_SECURITY_POLICY)
}

/// `POST`: signs out.
pub(super) async fn act(web: &Web, visit: &Visit<'_>) -> Answer {
    let again = visit.app.logout_path();
    if !comes_from_own_page(&visit.request.headers, visit.origin) {
        return Answer::told(visit, &Notice::SIGN_OUT_FOREIGN, Some(&again));
    }
    match web.logout.sign_out(visit).await {
        Ok(gone) => {
            let tag = gone.tag.as_deref().unwrap_or_default();
            tracing::info!(record.app = %visit.app.name, session.tag = tag, outcome = "signed_out", "a logout is finished");
            Answer::redirect(303, gone.location).cookies(gone.cookies)
        }
        Err(error) => Answer::failed(visit, &Notice::SIGN_OUT_FAILED, Some(&again), &error),
    }
}

/// `GET …/done`: the end, whether the provider sent the browser here or not.
pub(super) fn done(web: &Web, visit: &Visit<'_>, query: &str) -> Answer {
    let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    let state = match (states.next(), states.next()) {
        (Some((_, state)), None) => Some(state),
        (None, _) | (Some(_), Some(_)) => None,
    };
    let (returned, cookies) = Logout::check_return(visit, state.as_deref());
    let outcome = match returned {
        Return::Verified => "verified",
        Return::Wrong | Return::Unverified => "unverified",
    };
    tracing::debug!(record.app = %visit.app.name, outcome, "the last page of a logout");
    let answer = match (visit.ticket(web.vault.keyring()), returned) {
        // Somebody came here without signing out: saying that they are signed out would be untrue.
        (Ok(Some(_)), _) => show(visit),
        (Ok(None) | Err(_), Return::Wrong) => Answer::told(visit, &Notice::SIGN_OUT_UNVERIFIED, Some("/")),
        (Ok(None) | Err(_), Return::Verified | Return::Unverified) => Answer::page(200, &Page::signed_out("/")),
    };
    answer.cookies(cookies)
}
