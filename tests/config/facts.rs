//! What sound files become.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use coatcheck::config::{Address, ClientAuth, LogFormat, StoreConfig};
use coatcheck::core::app::{Authorization, BindMismatch, ClaimHeader, SameSite};
use coatcheck::core::policy::{Demand, RequiredClaim};
use secrecy::ExposeSecret;

use crate::support::{APPS, PROVIDERS, Site};

fn tcp(text: &str) -> Address {
    Address::Tcp(text.parse::<SocketAddr>().unwrap())
}

#[test]
fn two_sections_are_enough_and_the_rest_has_the_documented_defaults() {
    let site = Site::new();
    let (config, warnings) = site.load(&format!("{PROVIDERS}{APPS}")).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(config.listen.grpc, tcp("127.0.0.1:9001"));
    assert_eq!(config.listen.http, tcp("127.0.0.1:9002"));
    assert_eq!(config.listen.admin, tcp("127.0.0.1:9003"));
    assert!(matches!(config.store, StoreConfig::Embedded { path } if path == site.path("./coatcheck.db")));
    assert!(config.keys.is_none());
    assert_eq!((config.limits.checks, config.limits.connections), (10_000, 4096));
    assert_eq!(config.limits.wait, Duration::from_millis(20));
    assert_eq!(config.shutdown.drain_delay, Duration::from_secs(2));
    assert_eq!(config.shutdown.timeout, Duration::from_secs(20));
    assert_eq!((config.telemetry.log_format, config.telemetry.log_level.as_str()), (None, "info"));
    assert_eq!((config.telemetry.otlp_endpoint, config.telemetry.service_name.as_str()), (None, "coatcheck"));
    let provider = &config.providers[0];
    assert_eq!(provider.client_secret.expose_secret(), "client-canary");
    assert_eq!(provider.client_auth, ClientAuth::Basic);
    assert_eq!((provider.timeout, provider.clock_skew), (Duration::from_secs(10), Duration::from_secs(60)));
    assert_eq!(provider.default_token_lifetime, Duration::from_secs(300));
    let asymmetric = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    assert_eq!(provider.signing_algorithms, asymmetric);
    let mut files = [site.path("coatcheck.yaml"), site.path("client")];
    files.sort();
    assert_eq!(config.sources.files, files);
}

#[test]
fn an_app_has_the_documented_defaults() {
    let config = Site::new().config(&format!("{PROVIDERS}{APPS}"));
    let app = config.apps.by_host("shop.example.com").unwrap();
    assert_eq!((&*app.name, &*app.provider), ("shop", "main"));
    assert_eq!(app.upstream.authorization, Authorization::AccessToken);
    assert_eq!((app.cookie.name.as_str(), app.cookie.same_site), ("__Host-Http-coatcheck", SameSite::Strict));
    assert_eq!(app.session.absolute, Duration::from_secs(12 * 3600));
    assert_eq!(app.session.idle, Duration::from_secs(30 * 60));
    assert!(!app.session.bind_user_agent && !app.session.bind_ip_prefix);
    assert_eq!(app.session.on_bind_mismatch, BindMismatch::Reauthenticate);
    assert_eq!(app.refresh_margin, Duration::from_secs(60));
    assert_eq!((app.login.prefix.as_str(), app.login.attempt_lifetime), ("/auth", Duration::from_secs(600)));
    assert_eq!(app.login.scopes, ["openid", "profile", "email", "offline_access"]);
    assert_eq!(app.login.session_claims, ["sub", "name", "email", "preferred_username"]);
    assert!(app.login.allow_params.is_empty() && !app.login.userinfo);
    assert!(app.csrf.enabled && app.csrf.trusted_origins.is_empty() && app.csrf.header.is_none());
    assert!(app.revoke_at_logout);
    assert!(app.default_policy.rules().is_empty() && app.policies.is_empty());
}

/// Every key of the brief, with other values than the defaults where there is a choice.
pub(crate) const EVERYTHING: &str = r#"
listen: { grpc: unix:/run/coatcheck/authz.sock, http: "[::1]:0", admin: 0.0.0.0:9103 }
store: { kind: redis, url: redis://127.0.0.1:6379/3, username: u, password: "${REDIS_PASSWORD}", prefix: "cc:", connections: 2,
         response_timeout: 50ms, connect_timeout: 1s }
keys: [ { id: 7, file: key-1 }, { id: 3, value: "${OLD_KEY}" } ]
providers:
  - name: main
    issuer: https://id.example.com/realms/shop
    client_id: shop
    client_secret: ${CLIENT_SECRET}
    client_auth: post
    scopes: [openid, email]
    timeout: 3s
    clock_skew: 0s
    signing_algorithms: [ES256, EdDSA]
    trusted_audiences: [account]
    default_token_lifetime: 1h30m
apps:
  - name: shop
    origin: [HTTPS://Shop.Example.com:443, http://localhost:8080]
    provider: main
    upstream: { authorization: id_token, headers: { X-User-ID: sub, x-user-groups: realm_access.roles } }
    rules:
      - { paths: [/assets/**, /favicon.ico], session: none }
      - { paths: [/], session: optional }
      - { paths: [/admin/**], methods: [GET, POST], claims: { groups: [staff, 7], verified: true } }
    policies: { api: { rules: [ { paths: [/v1/**], methods: [PROPFIND] } ] } }
    cookie: { name: __Host-Http-shop, same_site: strict }
    session: { absolute: 2d, idle: 45m, bind: [user_agent, ip_prefix], on_bind_mismatch: log }
    refresh: { margin: 30s }
    login: { prefix: /-/auth, attempt_lifetime: 5m, allow_params: [prompt, login_hint, acr_values, max_age, ui_locales],
             userinfo: true, session_claims: [sub] }
    csrf: { enabled: true, trusted_origins: [https://www.example.com], header: "X-CSRF: 1" }
    logout: { revoke: false }
telemetry: { log_format: human, log_level: "info,coatcheck::store=debug", otlp_endpoint: "http://127.0.0.1:4317", service_name: edge }
limits: { checks: 7, wait: 50ms, connections: 9 }
shutdown: { drain_delay: 0s, timeout: 5s }
"#;

fn everything() -> coatcheck::config::Config {
    let site = Site::new().env("REDIS_PASSWORD", "redis-canary").env("CLIENT_SECRET", "secret-canary");
    site.env("OLD_KEY", crate::support::KEY).config(EVERYTHING)
}

#[test]
fn every_key_of_the_process_arrives() {
    let config = everything();
    assert_eq!(config.listen.grpc, Address::Unix(PathBuf::from("/run/coatcheck/authz.sock")));
    assert_eq!((config.listen.http, config.listen.admin), (tcp("[::1]:0"), tcp("0.0.0.0:9103")));
    let StoreConfig::Redis(redis) = config.store else { panic!("not redis") };
    assert_eq!((redis.host.as_str(), redis.port, redis.database), ("127.0.0.1", 6379, 3));
    assert_eq!((redis.username.as_deref(), redis.password.unwrap().expose_secret()), (Some("u"), "redis-canary"));
    assert_eq!((redis.prefix.as_str(), redis.connections), ("cc:", 2));
    assert_eq!((redis.response_timeout, redis.connect_timeout), (Duration::from_millis(50), Duration::from_secs(1)));
    assert!(redis.tls.is_none());
    let keys: Vec<u32> = config.keys.unwrap().iter().map(|key| key.id().0).collect();
    assert_eq!(keys, [7, 3]);
    let provider = &config.providers[0];
    assert_eq!((provider.name.as_str(), provider.client_id.as_str()), ("main", "shop"));
    assert_eq!(provider.issuer, "https://id.example.com/realms/shop");
    assert_eq!(provider.client_secret.expose_secret(), "secret-canary");
    assert_eq!(provider.client_auth, ClientAuth::Post);
    assert_eq!((provider.timeout, provider.clock_skew), (Duration::from_secs(3), Duration::ZERO));
    assert_eq!(provider.signing_algorithms, ["ES256", "EdDSA"]);
    assert_eq!(provider.trusted_audiences, ["account"]);
    assert_eq!(provider.default_token_lifetime, Duration::from_secs(5400));
    assert_eq!(config.telemetry.log_format, Some(LogFormat::Human));
    assert_eq!(config.telemetry.log_level, "info,coatcheck::store=debug");
    assert_eq!(config.telemetry.otlp_endpoint.as_deref(), Some("http://127.0.0.1:4317"));
    assert_eq!(config.telemetry.service_name, "edge");
    let limits = config.limits;
    assert_eq!((limits.checks, limits.wait, limits.connections), (7, Duration::from_millis(50), 9));
    assert_eq!((config.shutdown.drain_delay, config.shutdown.timeout), (Duration::ZERO, Duration::from_secs(5)));
}

#[test]
fn every_key_of_an_app_arrives() {
    let config = everything();
    let app = config.apps.by_name("shop").unwrap();
    let origins: Vec<&str> = app.origins.iter().map(coatcheck::core::app::Origin::as_str).collect();
    assert_eq!(origins, ["https://shop.example.com", "http://localhost:8080"]);
    assert_eq!(app.upstream.authorization, Authorization::IdToken);
    let header = |name: &str, claim: &str| ClaimHeader { name: name.into(), claim: claim.into() };
    assert_eq!(app.upstream.headers, [header("x-user-id", "sub"), header("x-user-groups", "realm_access.roles")]);
    let demands: Vec<&Demand> = app.default_policy.rules().iter().map(|rule| &rule.demand).collect();
    let claim = |claim: &str, values: &[&str]| RequiredClaim {
        claim: claim.to_owned(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    };
    let staff = Demand::Session(vec![claim("groups", &["staff", "7"]), claim("verified", &["true"])]);
    assert_eq!(demands, [&Demand::Nothing, &Demand::Optional, &staff]);
    assert_eq!(app.default_policy.rules()[2].methods, ["GET", "POST"]);
    assert_eq!(app.policies["api"].rules()[0].methods, ["PROPFIND"]);
    assert_eq!(app.cookie.name, "__Host-Http-shop");
    assert_eq!((app.session.absolute, app.session.idle), (Duration::from_secs(172_800), Duration::from_secs(2700)));
    assert!(app.session.bind_user_agent && app.session.bind_ip_prefix);
    assert_eq!(app.session.on_bind_mismatch, BindMismatch::Log);
    assert_eq!(app.refresh_margin, Duration::from_secs(30));
    assert_eq!((app.login.prefix.as_str(), app.login.attempt_lifetime), ("/-/auth", Duration::from_secs(300)));
    assert_eq!(app.login.allow_params, ["prompt", "login_hint", "acr_values", "max_age", "ui_locales"]);
    assert_eq!(app.login.scopes, ["openid", "email"]);
    assert!(app.login.userinfo && !app.revoke_at_logout);
    assert_eq!(app.login.session_claims, ["sub"]);
    assert_eq!(app.csrf.trusted_origins, ["https://www.example.com"]);
    assert_eq!(app.csrf.header, Some(("x-csrf".to_owned(), "1".to_owned())));
}

#[test]
fn the_example_of_the_design_loads() {
    let site = Site::new().file("redis", "pw\n");
    let yaml = r"
listen: { grpc: 127.0.0.1:9001, http: 127.0.0.1:9002, admin: 127.0.0.1:9003 }   # grpc also: unix:/run/coatcheck/authz.sock
store: { kind: redis, url: rediss://redis:6379/0, username: coatcheck, password_file: /secrets/redis }   # default: kind: embedded
keys: [ { id: 1, file: /secrets/key-1 } ]
providers:
  - { name: main, issuer: https://id.example.com/realms/shop, client_id: shop, client_secret_file: /secrets/client, scopes: [openid, profile, email, offline_access] }
apps:
  - name: shop
    origin: https://shop.example.com
    provider: main
    upstream: { authorization: access_token, headers: { x-user-id: sub, x-user-email: email, x-user-groups: groups } }
    rules:                                  # first match wins; default: a session is required
      - { paths: [/assets/**, /favicon.ico], session: none }
      - { paths: [/], session: optional }
      - { paths: [/admin/**], methods: [GET, POST], claims: { groups: [staff] } }
";
    let yaml = yaml.replace("/secrets", &site.directory().display().to_string());
    let (config, warnings) = site.load(&yaml).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    let StoreConfig::Redis(redis) = config.store else { panic!("not redis") };
    assert!(redis.tls.is_some());
    assert_eq!(redis.password.unwrap().expose_secret(), "pw");
}

#[test]
fn redis_urls() {
    let cases = [
        ("redis://localhost", ("localhost", 6379, 0, false, None, None)),
        ("redis://localhost/", ("localhost", 6379, 0, false, None, None)),
        ("rediss://redis.example:6380/15", ("redis.example", 6380, 15, true, None, None)),
        ("rediss://[::1]:6380/2", ("::1", 6380, 2, true, None, None)),
        ("redis://:p%40ss@127.0.0.1", ("127.0.0.1", 6379, 0, false, None, Some("p@ss"))),
        ("redis://u%2Fv:p@127.0.0.1/1", ("127.0.0.1", 6379, 1, false, Some("u/v"), Some("p"))),
    ];
    for (url, expected) in cases {
        let yaml =
            format!("store: {{ kind: redis, url: \"{url}\" }}\nkeys: [ {{ id: 1, file: key-1 }} ]\n{PROVIDERS}{APPS}");
        let (config, warnings) = Site::new().load(&yaml).unwrap();
        assert!(warnings.is_empty(), "{warnings}");
        let StoreConfig::Redis(redis) = config.store else { panic!("not redis") };
        let password = redis.password.as_ref().map(ExposeSecret::expose_secret);
        let found =
            (redis.host.as_str(), redis.port, redis.database, redis.tls.is_some(), redis.username.as_deref(), password);
        assert_eq!(found, expected, "{url}");
    }
}

#[test]
fn tls_files_towards_redis_are_read() {
    let certified = rcgen::generate_simple_self_signed(["redis".to_owned()]).unwrap();
    let site = Site::new().file("c.pem", &certified.cert.pem()).file("k.pem", &certified.signing_key.serialize_pem());
    let yaml = format!(
        "store: {{ kind: redis, url: \"rediss://redis\", tls: {{ ca_file: c.pem, cert_file: c.pem, key_file: k.pem }} }}\n\
         keys: [ {{ id: 1, file: key-1 }} ]\n{PROVIDERS}{APPS}"
    );
    let StoreConfig::Redis(redis) = site.config(&yaml).store else { panic!("not redis") };
    let tls = redis.tls.unwrap();
    assert_eq!(tls.ca.unwrap(), certified.cert.pem().into_bytes());
    assert_eq!(tls.cert.unwrap(), certified.cert.pem().into_bytes());
    assert_eq!(tls.key.unwrap().expose_secret(), certified.signing_key.serialize_pem());
}

#[test]
fn anchors_and_merge_keys_of_yaml_work() {
    let yaml = format!(
        "{PROVIDERS}apps:\n  - &shop {{ name: shop, origin: https://a.example.com, provider: main, session: {{ idle: 5m }} }}\n\
         \x20 - {{ <<: *shop, name: other, origin: https://b.example.com }}\n"
    );
    let config = Site::new().config(&yaml);
    assert_eq!(config.apps.by_name("other").unwrap().session.idle, Duration::from_secs(300));
}
