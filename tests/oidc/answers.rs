//! What the token and revocation endpoints may answer, and which reaction each answer gets. Whatever it is,
//! the code or token was sent once, and no secret comes back in an error.

use std::collections::HashSet;

use coatcheck::oidc::{Provider as _, ProviderError, RefreshError, TokenKind};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::hostile::{DISCOVERY, Hostile, REVOCATION, Reply, TOKEN};
use crate::signer::Signer;
use crate::support::{ACCESS, Pair, SECRET, VERIFIER, claims, config, offer, relying};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Means {
    Unavailable,
    Misconfigured,
    Rejected,
}

impl From<&ProviderError> for Means {
    fn from(error: &ProviderError) -> Self {
        match error {
            ProviderError::Unavailable(_) => Self::Unavailable,
            ProviderError::Misconfigured(_) => Self::Misconfigured,
            ProviderError::Rejected(_) => Self::Rejected,
        }
    }
}

fn error(status: u16, code: &str) -> Reply {
    Reply::Json(status, json!({ "error": code, "error_description": "see the log" }))
}

/// Answers of a token endpoint, what they mean for a login, and whether they end a session on refresh.
fn answers() -> Vec<(&'static str, Reply, Means, bool)> {
    use Means::{Misconfigured, Rejected, Unavailable};
    let token = |member: &str, value: Value| {
        let mut body = json!({ "access_token": ACCESS, "token_type": "Bearer" });
        body[member] = value;
        Reply::Json(200, body)
    };
    vec![
        ("invalid_grant", error(400, "invalid_grant"), Rejected, true),
        ("invalid_grant with 401", error(401, "invalid_grant"), Rejected, true),
        ("invalid_grant with 200", error(200, "invalid_grant"), Rejected, true),
        ("invalid_grant with 503", error(503, "invalid_grant"), Unavailable, false),
        ("invalid_grant with 429", error(429, "invalid_grant"), Unavailable, false),
        ("invalid_client", error(401, "invalid_client"), Misconfigured, false),
        ("invalid_client with 400", error(400, "invalid_client"), Misconfigured, false),
        ("unauthorized_client", error(400, "unauthorized_client"), Misconfigured, false),
        ("unsupported_grant_type", error(400, "unsupported_grant_type"), Misconfigured, false),
        ("invalid_scope", error(400, "invalid_scope"), Misconfigured, false),
        ("invalid_request", error(400, "invalid_request"), Rejected, false),
        ("an unknown code", error(400, "consent_required"), Rejected, false),
        ("temporarily_unavailable", error(400, "temporarily_unavailable"), Unavailable, false),
        ("server_error", error(400, "server_error"), Unavailable, false),
        ("400 without a body", Reply::Text(400, "text/plain", String::new()), Misconfigured, false),
        ("401 page", Reply::Text(401, "text/html", "<h1>no</h1>".into()), Misconfigured, false),
        ("403", Reply::Json(403, json!({})), Misconfigured, false),
        ("404", Reply::Json(404, json!({})), Misconfigured, false),
        ("429", Reply::Json(429, json!({})), Unavailable, false),
        ("500", Reply::Json(500, json!({})), Unavailable, false),
        ("502 page", Reply::Text(502, "text/html", "<h1>bad gateway</h1>".into()), Unavailable, false),
        ("503", Reply::Json(503, json!({})), Unavailable, false),
        ("302", Reply::Redirect(302, "/elsewhere".into()), Misconfigured, false),
        ("307", Reply::Redirect(307, "/elsewhere".into()), Misconfigured, false),
        ("308", Reply::Redirect(308, "/elsewhere".into()), Misconfigured, false),
        ("200 page", Reply::Text(200, "text/html", "<h1>sign in</h1>".into()), Unavailable, false),
        ("200 nothing", Reply::Text(200, "application/json", String::new()), Unavailable, false),
        ("200 null", Reply::Json(200, Value::Null), Unavailable, false),
        ("200 list", Reply::Json(200, json!([ACCESS])), Unavailable, false),
        ("200 without a token", Reply::Json(200, json!({ "token_type": "Bearer" })), Unavailable, false),
        ("empty access token", token("access_token", "".into()), Unavailable, false),
        ("access token a number", token("access_token", 7.into()), Unavailable, false),
        ("access token with a line break", token("access_token", "a\r\nx-admin: 1".into()), Unavailable, false),
        ("access token with umlauts", token("access_token", "tökén".into()), Unavailable, false),
        ("another token type", token("token_type", "DPoP".into()), Misconfigured, false),
        ("token type a number", token("token_type", 1.into()), Unavailable, false),
        ("silence", Reply::Silence, Unavailable, false),
        ("stall", Reply::Stall, Unavailable, false),
        ("truncated", Reply::Truncated(format!("{{\"access_token\":\"{ACCESS}\"")), Unavailable, false),
        ("oversize", Reply::Oversize, Unavailable, false),
        ("endless", Reply::Endless, Unavailable, false),
    ]
}

#[tokio::test]
async fn each_answer_to_a_code_gets_its_reaction_after_one_request() {
    let provider = Hostile::start(&[&Signer::ec("k1")]).await;
    let pair = Pair::new(&provider.issuer);
    let mut seen = HashSet::new();
    for (count, (name, reply, means, _)) in answers().into_iter().enumerate() {
        let relying = pair.awaiting(&reply).await;
        provider.on(TOKEN, reply);
        let error = relying.login().await.expect_err(name);
        assert_eq!(Means::from(&error), means, "{name}: {error}");
        assert_eq!(provider.calls(TOKEN).len(), count + 1, "{name}: one request");
        seen.insert(means);
    }
    assert_eq!(seen.len(), 3);
    assert!(provider.calls("/elsewhere").is_empty());
}

#[tokio::test]
async fn only_invalid_grant_ends_a_session_and_one_refresh_is_one_request() {
    let provider = Hostile::start(&[&Signer::ec("k1")]).await;
    let pair = Pair::new(&provider.issuer);
    for (count, (name, reply, means, dead)) in answers().into_iter().enumerate() {
        let relying = pair.awaiting(&reply).await;
        provider.on(TOKEN, reply);
        match relying.refresh().await.expect_err(name) {
            RefreshError::Dead(_) => assert!(dead, "{name}"),
            RefreshError::Foreign(text) => panic!("{name}: {text}"),
            RefreshError::Transient { error, reached } => {
                assert!(!dead && reached, "{name}");
                assert_eq!(Means::from(&error), means, "{name}");
            }
        }
        assert_eq!(provider.calls(TOKEN).len(), count + 1, "{name}: one request");
    }
    assert!(provider.calls("/elsewhere").is_empty());
}

#[tokio::test]
async fn a_refused_connection_is_known_not_to_have_carried_the_token() {
    let provider = Hostile::start(&[]).await;
    let mut document = provider.document();
    // A port that was just free, and a name that does not exist.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for endpoint in [format!("http://{free}/token"), "http://nowhere.localhost:9/token".to_owned()] {
        document["token_endpoint"] = endpoint.clone().into();
        provider.on(DISCOVERY, Reply::Json(200, document.clone()));
        let outcome = relying(&config(&provider.issuer)).refresh().await;
        let Err(RefreshError::Transient { error: ProviderError::Unavailable(_), reached: false }) = outcome else {
            panic!("{endpoint}: {outcome:?}");
        };
    }
    // Without discovery nothing is sent either.
    provider.on(DISCOVERY, Reply::Json(500, json!({})));
    let outcome = relying(&config(&provider.issuer)).refresh().await;
    assert!(matches!(outcome, Err(RefreshError::Transient { reached: false, .. })), "{outcome:?}");
    assert!(provider.calls(TOKEN).is_empty());
}

#[tokio::test]
async fn a_provider_that_repeats_our_secrets_does_not_get_them_into_errors() {
    let provider = Hostile::start(&[]).await;
    let relying = relying(&config(&provider.issuer));
    let canaries = ["the-code", VERIFIER, SECRET, "rt-1"];
    let description =
        format!("<script>alert(1)</script>\r\nSet-Cookie: x=1 {} {}", canaries.join(" "), "A".repeat(5000));
    let body = json!({ "error": "invalid_grant", "error_description": description });
    provider.on(TOKEN, Reply::Json(400, body));
    let login = relying.login().await.unwrap_err().to_string();
    let refresh = relying.refresh().await.unwrap_err().to_string();
    provider.on(TOKEN, Reply::Json(400, json!({ "error": format!("{} rt-1 the-code", "t".repeat(60)) })));
    let code = relying.refresh().await.unwrap_err().to_string();
    for (text, secrets) in [(&login, &canaries[..3]), (&refresh, &canaries[2..]), (&code, &canaries[3..])] {
        assert!(text.len() < 400, "{text}");
        assert!(!text.contains(['<', '>', '\r', '\n', '"']), "{text}");
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
        assert!(!text.contains("AAAA") && !text.contains("tttt"), "{text}");
    }
    assert!(login.contains("invalid_grant"), "{login}");
    assert!(!format!("{:?}", relying.client).contains(SECRET));
}

#[tokio::test]
async fn revocation_is_authenticated_and_hinted() {
    let provider = Hostile::start(&[]).await;
    let relying = relying(&config(&provider.issuer));
    provider.on(REVOCATION, Reply::Text(200, "text/plain", String::new()));
    relying.client.revoke("rt-1".into(), TokenKind::Refresh).await.unwrap();
    relying.client.revoke("at-1".into(), TokenKind::Access).await.unwrap();
    let calls = provider.calls(REVOCATION);
    assert_eq!((&*calls[0].form["token"], &*calls[0].form["token_type_hint"]), ("rt-1", "refresh_token"));
    assert_eq!((&*calls[1].form["token"], &*calls[1].form["token_type_hint"]), ("at-1", "access_token"));
    assert!(calls.iter().all(|call| call.headers.contains_key("authorization")));

    let pair = Pair::new(&provider.issuer);
    for (reply, means) in [
        (error(503, "unavailable"), Means::Unavailable),
        (Reply::Silence, Means::Unavailable),
        (error(401, "invalid_client"), Means::Misconfigured),
        (error(400, "invalid_request"), Means::Rejected),
    ] {
        let relying = pair.awaiting(&reply).await;
        provider.on(REVOCATION, reply);
        let error = relying.client.revoke("rt-1".into(), TokenKind::Refresh).await.unwrap_err();
        assert_eq!(Means::from(&error), means);
    }
}

/// RFC 7009 §2.2.1: a provider may offer revocation for refresh tokens only.
#[tokio::test]
async fn a_token_that_the_provider_cannot_revoke_is_no_failure() {
    let provider = Hostile::start(&[]).await;
    let relying = relying(&config(&provider.issuer));
    provider.on(REVOCATION, error(400, "unsupported_token_type"));
    relying.client.revoke("at-1".into(), TokenKind::Access).await.unwrap();
    assert_eq!(provider.calls(REVOCATION).len(), 1);
}

#[tokio::test]
async fn calls_and_failures_are_counted_by_endpoint() {
    let signer = Signer::ec("k1");
    let provider = Hostile::start(&[&signer]).await;
    let relying = relying(&config(&provider.issuer));
    offer(&provider, &signer, &claims(&provider.issuer));
    relying.login().await.unwrap();
    provider.on(TOKEN, error(401, "invalid_client"));
    relying.refresh().await.unwrap_err();
    provider.on(TOKEN, Reply::Truncated("{".into()));
    relying.refresh().await.unwrap_err();
    let text = relying.metrics.render();
    for line in [
        "coatcheck_provider_duration_seconds_count{provider=\"main\",endpoint=\"token\"} 3",
        "coatcheck_provider_duration_seconds_count{provider=\"main\",endpoint=\"discovery\"} 1",
        "coatcheck_provider_duration_seconds_count{provider=\"main\",endpoint=\"jwks\"} 1",
        "coatcheck_provider_errors_total{provider=\"main\",endpoint=\"token\",kind=\"invalid_client\"} 1",
        "coatcheck_provider_errors_total{provider=\"main\",endpoint=\"token\",kind=\"interrupted\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
