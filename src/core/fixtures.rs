//! Building blocks of the core's unit tests: an app, a session, requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::app::{
    App, Apps, Authorization, BindMismatch, ClaimHeader, CookieSettings, CsrfSettings, LoginMode, LoginSettings,
    Origin, SameSite, SessionSettings, Upstream,
};
use super::claims::Claims;
use super::cookie::CookieText;
use super::keyring::{KeyId, Keyring, ServerKey};
use super::path::Pattern;
use super::policy::{Demand, Policy, RequiredClaim, Rule};
use super::request::{Headers, Request};
use super::session::{Binding, Held, Identity, Session, Tokens};
use super::ticket::Ticket;
use super::time::Timestamp;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const COOKIE: &str = "__Host-Http-coatcheck";

pub(crate) fn keyring() -> Keyring {
    Keyring::new(vec![ServerKey::new(KeyId(1), [1; 32])]).unwrap()
}

pub(crate) fn rule(path: &str, demand: Demand) -> Rule {
    Rule { paths: vec![Pattern::parse(path).unwrap()], methods: Vec::new(), demand }
}

pub(crate) fn staff() -> RequiredClaim {
    RequiredClaim { claim: "groups".into(), values: vec!["staff".into()] }
}

pub(crate) fn app() -> App {
    App {
        name: "shop".into(),
        origins: vec![Origin::new("https://shop.example.com".into())],
        provider: "main".into(),
        upstream: Upstream {
            authorization: Authorization::AccessToken,
            headers: [("x-user-id", "sub"), ("x-user-groups", "groups")]
                .map(|(name, claim)| ClaimHeader { name: name.into(), claim: claim.into() })
                .into(),
        },
        default_policy: Policy::new(vec![
            rule("/public/**", Demand::Nothing),
            rule("/", Demand::Optional),
            rule("/admin/**", Demand::Session(vec![staff()])),
        ]),
        policies: HashMap::from([("open".to_owned(), Policy::new(vec![rule("/**", Demand::Nothing)]))]),
        cookie: CookieSettings { name: COOKIE.into(), same_site: SameSite::Strict },
        session: SessionSettings {
            absolute: Duration::from_secs(43_200),
            idle: Duration::from_secs(1_800),
            bind_user_agent: false,
            bind_ip_prefix: false,
            on_bind_mismatch: BindMismatch::Reauthenticate,
        },
        refresh_margin: Duration::from_secs(60),
        login: LoginSettings {
            prefix: "/auth".into(),
            mode: LoginMode::Routed,
            attempt_lifetime: Duration::from_secs(600),
            allow_params: Vec::new(),
            scopes: vec!["openid".into()],
            userinfo: false,
            session_claims: vec!["sub".into()],
        },
        csrf: CsrfSettings { enabled: true, trusted_origins: vec!["https://partner.example".into()], header: None },
        revoke_at_logout: true,
    }
}

pub(crate) fn apps() -> Apps {
    Apps::new(vec![app()])
}

/// Signed in at [`NOW`], with a token that lives 300 s.
pub(crate) fn session() -> Session {
    let claims = serde_json::json!({ "sub": "alice", "groups": ["dev", "a,b"], "email": "a@example.com" });
    Session {
        app: Arc::from("shop"),
        provider: Arc::from("main"),
        identity: Identity { issuer: "https://id".into(), subject: "alice".into(), provider_session: None },
        tokens: Tokens {
            access: "access-1".to_owned().into(),
            access_expires: NOW + Duration::from_secs(300),
            refresh: Some("refresh-1".to_owned().into()),
            id_token: Some("id-1".to_owned().into()),
            id_token_expires: Some(NOW + Duration::from_secs(300)),
            scope: None,
        },
        claims: Claims::from_object(claims.as_object().unwrap()),
        created: NOW,
        obtained: NOW,
        expires: NOW + Duration::from_secs(43_200),
        binding: Binding::default(),
        auth_time: None,
        client_hint: "Firefox, 192.0.2.0/24".into(),
    }
}

pub(crate) fn held() -> Held {
    Held { session: session(), generation: 1, last_seen: NOW }
}

/// The cookie line of a valid ticket.
pub(crate) fn ticket_line() -> String {
    let value = Ticket::issue([5; 32], &keyring()).cookie_value("shop", &keyring()).unwrap();
    format!("{COOKIE}={value}")
}

/// `POST https://shop.example.com/api` with these headers; a `cookie` among them is the raw Cookie line.
pub(crate) fn request<'a>(line: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
    let (method, target) = line.split_once(' ').unwrap();
    let fields: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let cookies = fields.iter().filter(|(name, _)| *name == "cookie").map(|(_, value)| *value).collect();
    Request {
        method,
        target,
        host: "shop.example.com",
        headers: Headers::new(fields),
        cookies: CookieText::raw(cookies),
        body: &[],
        app: None,
        policy: None,
        client: None,
    }
}
