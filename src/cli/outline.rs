//! What `serve` would do with a configuration, for people. Shows no secret: only whether there is one.

use std::fmt::{self, Formatter};

use coatcheck::config::{Address, Config, Listen, ProviderConfig, RedisConfig, StoreConfig, key_path};
use coatcheck::core::app::{App, Authorization, LoginMode, Origin, SameSite};
use coatcheck::core::keyring::{Keyring, ServerKey};
use coatcheck::core::policy::{Demand, Policy, Rule};

/// A configuration, outlined.
pub(super) struct Outline<'a>(pub(super) &'a Config);

impl fmt::Display for Outline<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let config = self.0;
        writeln!(f, "The configuration is sound. `coatcheck serve` would")?;
        listen(&config.listen, f)?;
        store(&config.store, f)?;
        keys(config, f)?;
        for provider in &config.providers {
            self::provider(provider, f)?;
        }
        for app in config.apps.iter() {
            self::app(app, f)?;
        }
        Ok(())
    }
}

fn listen(listen: &Listen, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nlisten")?;
    let purposes = [
        (&listen.grpc, "Envoy's ext_authz"),
        (&listen.http, "login routes"),
        (&listen.admin, "/livez, /readyz, /metrics"),
    ];
    for (address, purpose) in purposes {
        match address {
            Address::Tcp(address) => writeln!(f, "  {address:<24} {purpose}")?,
            Address::Unix(path) => writeln!(f, "  unix:{:<19} {purpose}", path.display())?,
        }
    }
    Ok(())
}

fn store(store: &StoreConfig, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nkeep sessions in")?;
    match store {
        StoreConfig::Embedded { path } => writeln!(f, "  the file {} (one process only)", path.display()),
        StoreConfig::Redis(redis) => self::redis(redis, f),
    }
}

fn redis(redis: &RedisConfig, f: &mut Formatter<'_>) -> fmt::Result {
    let RedisConfig { host, port, database, prefix, connections, .. } = redis;
    let tls = redis.tls.as_ref();
    let link = match tls.map(|tls| tls.cert.is_some()) {
        Some(true) => "mutual TLS",
        Some(false) => "TLS",
        None => "no TLS",
    };
    let user = redis.username.as_deref().unwrap_or("default");
    let login = if redis.password.is_some() { "with a password" } else { "without a password" };
    writeln!(f, "  Redis at {host} port {port}, database {database}, {link}, as {user} {login}")?;
    writeln!(f, "  keys start with `{prefix}`; {connections} connections")
}

fn keys(config: &Config, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nseal with")?;
    match (&config.keys, &config.store) {
        (Some(ring), _) => configured(ring, f),
        (None, StoreConfig::Embedded { path }) => {
            writeln!(f, "  the key in {} (made when absent)", key_path(path).display())
        }
        (None, StoreConfig::Redis(_)) => writeln!(f, "  no key"),
    }
}

fn configured(ring: &Keyring, f: &mut Formatter<'_>) -> fmt::Result {
    let primary = ring.primary().id();
    let others: Vec<String> =
        ring.iter().map(ServerKey::id).filter(|id| *id != primary).map(|id| id.0.to_string()).collect();
    match others.as_slice() {
        [] => writeln!(f, "  key {}", primary.0),
        others => writeln!(f, "  key {}; open with key {} too", primary.0, others.join(", ")),
    }
}

fn provider(provider: &ProviderConfig, f: &mut Formatter<'_>) -> fmt::Result {
    let ProviderConfig { name, issuer, client_id, .. } = provider;
    writeln!(f, "\nuse the provider {name}")?;
    writeln!(f, "  issuer     {issuer}")?;
    writeln!(f, "  client     {client_id}")
}

fn app(app: &App, f: &mut Formatter<'_>) -> fmt::Result {
    let token = match app.upstream.authorization {
        Authorization::AccessToken => "the access token",
        Authorization::IdToken => "the ID token",
        Authorization::Nothing => "no token",
    };
    let site = match app.cookie.same_site {
        SameSite::Strict => "Strict",
        SameSite::Lax => "Lax",
    };
    writeln!(f, "\nprotect the app {}, signing in at {}", app.name, app.provider)?;
    writeln!(f, "  origins    {}", texts(app.origins.iter().map(Origin::as_str)))?;
    let way = match app.login.mode {
        LoginMode::Routed => "behind a route of Envoy to the HTTP listener",
        LoginMode::InBand => "answered by the checks themselves (in-band)",
    };
    writeln!(f, "  login      {}/..., {way}", app.login.prefix)?;
    writeln!(f, "  scopes     {}", app.login.scopes.join(" "))?;
    writeln!(f, "  cookie     {} (SameSite={site})", app.cookie.name)?;
    writeln!(f, "  upstream   gets {token}{}", claims(app))?;
    writeln!(f, "  register at the provider:")?;
    for origin in &app.origins {
        writeln!(f, "    redirect URI              {}{}/callback", origin.as_str(), app.login.prefix)?;
        writeln!(f, "    post-logout redirect URI  {}{}/logout/done", origin.as_str(), app.login.prefix)?;
    }
    writeln!(f, "  rules, the first match wins:")?;
    policy(&app.default_policy, f)?;
    let mut named: Vec<_> = app.policies.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    for (name, policy) in named {
        writeln!(f, "  rules of the policy {name}:")?;
        self::policy(policy, f)?;
    }
    Ok(())
}

fn claims(app: &App) -> String {
    app.upstream.headers.iter().fold(String::new(), |text, header| text + ", " + &header.name + " = " + &header.claim)
}

fn policy(policy: &Policy, f: &mut Formatter<'_>) -> fmt::Result {
    for (index, rule) in policy.rules().iter().enumerate() {
        self::rule(index + 1, rule, f)?;
    }
    writeln!(f, "    else a session is required")
}

fn rule(number: usize, rule: &Rule, f: &mut Formatter<'_>) -> fmt::Result {
    let paths = rule.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let methods = if rule.methods.is_empty() { String::new() } else { format!("{} ", rule.methods.join(", ")) };
    write!(f, "    {number}. {methods}{paths}: ")?;
    match &rule.demand {
        Demand::Nothing => writeln!(f, "public"),
        Demand::Optional => writeln!(f, "a session is optional"),
        Demand::Session(claims) if claims.is_empty() => writeln!(f, "a session is required"),
        Demand::Session(claims) => {
            let claims: Vec<String> =
                claims.iter().map(|claim| format!("{} is {}", claim.claim, claim.values.join(" or "))).collect();
            writeln!(f, "a session is required, where {}", claims.join(" and "))
        }
    }
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}
