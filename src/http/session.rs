//! `GET /auth/session`: what an application in the browser may know. Never a token; and looking does not keep a
//! session alive.

use serde_json::{Map, Value, json};

use super::Web;
use super::respond::Answer;
use crate::core::app::{App, BindMismatch};
use crate::core::csrf::{self, Standing};
use crate::core::decide::TicketRefusal;
use crate::core::page::Notice;
use crate::core::session::Held;
use crate::core::visit::Visit;
use crate::store::StoreError;

const JSON: &str = "application/json";

/// Says who is signed in, if anybody.
pub(super) async fn show(web: &Web, visit: &Visit<'_>) -> Answer {
    // Another site learns nothing here, not even from how long or how large the answer is.
    if csrf::judge(&visit.request, visit.app) == Standing::Untrusted {
        return Answer::told(visit, &Notice::CROSS_SITE, Some("/"));
    }
    match held(web, visit).await {
        Ok(Some(held)) => Answer::json(200, JSON, describe(web, visit.app, &held)),
        Ok(None) => {
            let nobody = json!({ "authenticated": false, "login_url": visit.app.login_path() });
            Answer::json(200, JSON, nobody.to_string())
        }
        Err(error) => Answer::failed(visit, &Notice::UNAVAILABLE, None, &error),
    }
}

/// The session that a check would accept too.
async fn held(web: &Web, visit: &Visit<'_>) -> Result<Option<Held>, StoreError> {
    let ticket = match visit.ticket(web.vault.keyring()) {
        Ok(Some(ticket)) => ticket,
        Ok(None) => return Ok(None),
        Err(refusal) => {
            web.metrics.ticket_refused(match refusal {
                TicketRefusal::Malformed => "malformed",
                TicketRefusal::Ambiguous => "ambiguous",
            });
            return Ok(None);
        }
    };
    let held = web.vault.open(&ticket, &visit.app.name).await?;
    Ok(held.filter(|held| seconds_left(web, visit.app, held) > 0 && !breaks_binding(visit, held)))
}

fn breaks_binding(visit: &Visit<'_>, held: &Held) -> bool {
    visit.app.session.on_bind_mismatch == BindMismatch::Reauthenticate && !held.session.binding.holds(&visit.binding())
}

/// Until the absolute or the idle lifetime ends, whichever comes first.
fn seconds_left(web: &Web, app: &App, held: &Held) -> u64 {
    let now = web.clock.now();
    let absolute = held.session.expires.since(now);
    let idle = (held.last_seen + app.session.idle).since(now);
    absolute.min(idle).as_secs()
}

fn describe(web: &Web, app: &App, held: &Held) -> String {
    let shown = app.login.session_claims.iter();
    let claims: Map<String, Value> =
        shown.filter_map(|name| Some((name.clone(), held.session.claims.get(name)?))).collect();
    json!({
        "authenticated": true,
        "claims": claims,
        "expires_in": seconds_left(web, app, held),
        "logout_url": app.logout_path(),
    })
    .to_string()
}
