//! `GET /auth/login`.

use super::Web;
use super::respond::Answer;
use crate::core::page::Notice;
use crate::core::visit::Visit;
use crate::oidc::ProviderError;

/// Begins a login and sends the browser to the provider.
pub(super) async fn show(web: &Web, visit: &Visit<'_>, query: &str) -> Answer {
    if is_prefetch(visit) {
        return Answer::told(visit, &Notice::SIGN_IN_REQUIRED, Some(&visit.app.login_path()));
    }
    match web.login.begin(visit, query).await {
        Ok(begun) => {
            tracing::debug!(record.app = %visit.app.name, outcome = "started", "a login begins");
            Answer::redirect(302, begun.location).cookies(begun.cookies)
        }
        Err(error) => Answer::failed(visit, provider_notice(&error), Some(&visit.app.login_path()), &error),
    }
}

/// A browser that only guesses where its user will go must not begin or finish a login.
pub(super) fn is_prefetch(visit: &Visit<'_>) -> bool {
    let headers = &visit.request.headers;
    ["sec-purpose", "purpose"].iter().any(|name| headers.single(name).is_some_and(|value| value.contains("prefetch")))
}

/// What to tell about provider trouble.
pub(super) const fn provider_notice(error: &ProviderError) -> &'static Notice {
    match error {
        ProviderError::Unavailable(_) => &Notice::PROVIDER_UNAVAILABLE,
        ProviderError::Misconfigured(_) => &Notice::PROVIDER_MISCONFIGURED,
        ProviderError::Rejected(_) => &Notice::SIGN_IN_REFUSED,
    }
}
