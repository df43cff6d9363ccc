//! Discovery: lazy, once, by the rules; and an outage is neither hammered nor remembered for long.

use std::time::Duration;

use coatcheck::oidc::{AuthorizeRequest, EndSession, Provider as _, ProviderError};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::hostile::{DISCOVERY, Hostile, Reply};
use crate::support::{Relying, VERIFIER, config, config_for, relying};

fn request() -> AuthorizeRequest {
    AuthorizeRequest {
        redirect_uri: "https://shop.example.com/auth/callback".into(),
        scopes: ["openid", "email"].map(String::from).to_vec(),
        state: "the-state".into(),
        nonce: "the-nonce".into(),
        verifier: VERIFIER.into(),
        extra: Vec::new(),
    }
}

fn unused(provider: &Hostile) -> Relying {
    relying(&config(&provider.issuer))
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_use_and_then_once() {
    let provider = Hostile::start(&[]).await;
    let relying = unused(&provider);
    assert!(provider.calls(DISCOVERY).is_empty());
    relying.client.ready().await.unwrap();
    let url = relying.client.authorize(request()).await.unwrap();
    assert!(url.starts_with(&format!("{}/authorize?", provider.issuer)), "{url}");
    assert!(relying.client.sends_issuer().await.unwrap());
    assert_eq!(provider.calls(DISCOVERY).len(), 1);
}

#[tokio::test]
async fn documents_that_break_the_rules_are_the_operators_to_mend() {
    type Change = fn(&mut Value);
    let changes: Vec<(&str, Change)> = vec![
        ("another issuer", |d| d["issuer"] = "https://evil.example.com".into()),
        ("the issuer with a slash", |d| d["issuer"] = format!("{}/", d["issuer"].as_str().unwrap()).into()),
        ("an issuer template", |d| d["issuer"] = "https://login.example.com/{tenantid}/v2.0".into()),
        ("no issuer", |d| d["issuer"] = Value::Null),
        ("no token endpoint", |d| d["token_endpoint"] = Value::Null),
        ("no keys", |d| d["jwks_uri"] = "".into()),
        ("no authorization endpoint", |d| d["authorization_endpoint"] = 7.into()),
        ("a plain token endpoint", |d| d["token_endpoint"] = "http://id.example.com/token".into()),
        ("plain keys", |d| d["jwks_uri"] = "http://id.example.com/jwks".into()),
        ("plain userinfo", |d| d["userinfo_endpoint"] = "http://id.example.com/me".into()),
        ("a script", |d| d["authorization_endpoint"] = "javascript:alert(1)".into()),
        ("a relative URL", |d| d["token_endpoint"] = "/token".into()),
        ("a file", |d| d["jwks_uri"] = "file:///etc/passwd".into()),
        ("a look-alike of this machine", |d| d["token_endpoint"] = "http://localhost.example.com/".into()),
    ];
    for (name, change) in changes {
        let provider = Hostile::start(&[]).await;
        let mut document = provider.document();
        change(&mut document);
        provider.on(DISCOVERY, Reply::Json(200, document));
        let outcome = unused(&provider).client.ready().await;
        assert!(matches!(outcome, Err(ProviderError::Misconfigured(_))), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn answers_that_are_no_document_are_an_outage_or_a_mistake() {
    let cases = [
        ("a page", Reply::Text(200, "text/html", "<h1>maintenance</h1>".into()), true),
        ("a list", Reply::Json(200, json!([])), true),
        ("broken JSON", Reply::Text(200, "application/json", "{\"issuer\":".into()), true),
        ("truncated", Reply::Truncated("{\"issuer\":".into()), true),
        ("stalled", Reply::Stall, true),
        ("silent", Reply::Silence, true),
        ("oversize", Reply::Oversize, true),
        ("endless", Reply::Endless, true),
        ("500", Reply::Json(500, json!({})), true),
        ("429", Reply::Json(429, json!({})), true),
        ("404", Reply::Json(404, json!({})), false),
        ("a redirect", Reply::Redirect(302, "/elsewhere".into()), false),
        ("a permanent redirect", Reply::Redirect(308, "/elsewhere".into()), false),
    ];
    for (name, reply, outage) in cases {
        let provider = Hostile::start(&[]).await;
        provider.on("/elsewhere", Reply::Json(200, provider.document()));
        let relying = relying(&config_for(&reply, &provider.issuer));
        provider.on(DISCOVERY, reply);
        match relying.client.ready().await {
            Err(ProviderError::Unavailable(text)) if outage => {
                let limited = text.contains("1 MiB");
                assert_eq!(limited, matches!(name, "oversize" | "endless"), "{name}: {text}");
            }
            Err(ProviderError::Misconfigured(_)) if !outage => {}
            other => panic!("{name}: {other:?}"),
        }
        assert!(provider.calls("/elsewhere").is_empty(), "{name}: redirects are not followed");
    }
}

#[tokio::test]
async fn an_outage_is_asked_about_once_a_second_and_ends_by_itself() {
    let provider = Hostile::start(&[]).await;
    provider.on(DISCOVERY, Reply::Json(503, json!({})));
    let relying = unused(&provider);
    for outcome in join_all((0..50).map(|_| relying.client.ready())).await {
        assert!(matches!(outcome, Err(ProviderError::Unavailable(_))));
    }
    relying.clock.advance(Duration::from_millis(999));
    relying.client.ready().await.unwrap_err();
    assert_eq!(provider.calls(DISCOVERY).len(), 1);

    provider.on(DISCOVERY, Reply::Json(200, provider.document()));
    relying.client.ready().await.expect_err("the failure is still remembered");
    relying.clock.advance(Duration::from_millis(1));
    relying.client.ready().await.unwrap();
    assert_eq!(provider.calls(DISCOVERY).len(), 2);
}

#[tokio::test]
async fn the_document_is_renewed_by_the_hour_and_kept_when_that_fails() {
    let provider = Hostile::start(&[]).await;
    let relying = unused(&provider);
    relying.client.ready().await.unwrap();
    relying.clock.advance(Duration::from_secs(3600));
    for broken in [Reply::Json(500, json!({})), Reply::Json(200, json!({ "issuer": "https://evil.example.com" }))] {
        provider.on(DISCOVERY, broken);
        let before = provider.calls(DISCOVERY).len();
        for _ in 0..5 {
            relying.client.authorize(request()).await.expect("the old document is kept");
        }
        assert_eq!(provider.calls(DISCOVERY).len(), before + 1, "one try a minute");
        relying.clock.advance(Duration::from_secs(60));
    }
    let mut document = provider.document();
    document["authorization_endpoint"] = "https://new.example.com/authorize".into();
    provider.on(DISCOVERY, Reply::Json(200, document));
    let url = relying.client.authorize(request()).await.unwrap();
    assert!(url.starts_with("https://new.example.com/authorize?"), "{url}");
}

#[tokio::test]
async fn logging_out_at_the_provider_names_us_and_the_session() {
    let provider = Hostile::start(&[]).await;
    let relying = unused(&provider);
    let end = |hint: Option<&str>| EndSession {
        id_token_hint: hint.map(Into::into),
        post_logout_redirect_uri: "https://shop.example.com/auth/logout/done".into(),
        state: "the-state".into(),
    };
    let url = relying.client.end_session(end(Some("a.b.c"))).await.unwrap().unwrap();
    let tail =
        "client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fshop.example.com%2Fauth%2Flogout%2Fdone&state=the-state";
    assert_eq!(url, format!("{}/logout?from=rp&id_token_hint=a.b.c&{tail}", provider.issuer));
    for hint in [None, Some("x".repeat(8000))] {
        let url = relying.client.end_session(end(hint.as_deref())).await.unwrap().unwrap();
        assert_eq!(url, format!("{}/logout?from=rp&{tail}", provider.issuer));
    }
}

#[tokio::test]
async fn a_provider_without_end_session_or_revocation_is_fine() {
    let provider = Hostile::start(&[]).await;
    let mut document = provider.document();
    document["end_session_endpoint"] = Value::Null;
    document["revocation_endpoint"] = Value::Null;
    document["authorization_response_iss_parameter_supported"] = Value::Null;
    provider.on(DISCOVERY, Reply::Json(200, document));
    let relying = unused(&provider);
    let request = EndSession { id_token_hint: None, post_logout_redirect_uri: "https://x/".into(), state: "s".into() };
    assert_eq!(relying.client.end_session(request).await.unwrap(), None);
    relying.client.revoke("rt".into(), coatcheck::oidc::TokenKind::Refresh).await.unwrap();
    assert!(!relying.client.sends_issuer().await.unwrap());
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_document_below_it() {
    let provider = Hostile::start(&[]).await;
    for (issuer, path) in [("/realms/shop", "/realms/shop"), ("/tenant/", "/tenant")] {
        let issuer = format!("{}{issuer}", provider.issuer);
        let mut document = provider.document();
        document["issuer"] = issuer.clone().into();
        provider.on(&format!("{path}{DISCOVERY}"), Reply::Json(200, document));
        relying(&config(&issuer)).client.ready().await.unwrap();
    }
}
