//! Whether two configurations say the same of a peer: what a reload keeps, and what it connects again. Every field is
//! named, so that a new one cannot be forgotten.

use secrecy::{ExposeSecret, SecretString};

use super::{ProviderConfig, RedisConfig, TlsConfig};

impl PartialEq for ProviderConfig {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            name,
            issuer,
            client_id,
            client_secret,
            client_auth,
            timeout,
            clock_skew,
            signing_algorithms,
            trusted_audiences,
            ca,
            default_token_lifetime,
        } = self;
        *name == other.name
            && *issuer == other.issuer
            && *client_id == other.client_id
            && same(client_secret, &other.client_secret)
            && *client_auth == other.client_auth
            && *timeout == other.timeout
            && *clock_skew == other.clock_skew
            && *signing_algorithms == other.signing_algorithms
            && *trusted_audiences == other.trusted_audiences
            && *ca == other.ca
            && *default_token_lifetime == other.default_token_lifetime
    }
}

impl PartialEq for RedisConfig {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            host,
            port,
            database,
            tls,
            username,
            password,
            prefix,
            connections,
            response_timeout,
            connect_timeout,
        } = self;
        *host == other.host
            && *port == other.port
            && *database == other.database
            && *tls == other.tls
            && *username == other.username
            && both_same(password.as_ref(), other.password.as_ref())
            && *prefix == other.prefix
            && *connections == other.connections
            && *response_timeout == other.response_timeout
            && *connect_timeout == other.connect_timeout
    }
}

impl PartialEq for TlsConfig {
    fn eq(&self, other: &Self) -> bool {
        let Self { ca, cert, key } = self;
        *ca == other.ca && *cert == other.cert && both_same(key.as_ref(), other.key.as_ref())
    }
}

/// Both are ours: nobody learns anything from how long this takes.
fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

fn both_same(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::ClientAuth;

    #[test]
    fn a_provider_is_the_same_until_anything_of_it_changes() {
        let provider = || ProviderConfig {
            name: "main".into(),
            issuer: "https://id.example.com".into(),
            client_id: "shop".into(),
            client_secret: "a-secret".into(),
            client_auth: ClientAuth::Basic,
            timeout: Duration::from_secs(1),
            clock_skew: Duration::from_secs(1),
            signing_algorithms: vec!["ES256".into()],
            trusted_audiences: Vec::new(),
            ca: None,
            default_token_lifetime: Duration::from_secs(1),
        };
        assert!(provider() == provider());
        let changes: [fn(&mut ProviderConfig); 11] = [
            |it| it.name = "other".into(),
            |it| it.issuer = "https://id.example.org".into(),
            |it| it.client_id = "other".into(),
            |it| it.client_secret = "another-secret".into(),
            |it| it.client_auth = ClientAuth::Post,
            |it| it.timeout = Duration::from_secs(2),
            |it| it.clock_skew = Duration::from_secs(2),
            |it| it.signing_algorithms = vec!["RS256".into()],
            |it| it.trusted_audiences = vec!["other".into()],
            |it| it.ca = Some(Vec::new()),
            |it| it.default_token_lifetime = Duration::from_secs(2),
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut other = provider();
            change(&mut other);
            assert!(other != provider(), "change {at}");
        }
    }

    #[test]
    fn a_redis_is_the_same_until_anything_of_it_changes() {
        let redis = || RedisConfig {
            host: "redis".into(),
            port: 6379,
            database: 0,
            tls: Some(TlsConfig { ca: None, cert: Some(Vec::new()), key: Some("a-key".into()) }),
            username: Some("coatcheck".into()),
            password: Some("a-password".into()),
            prefix: "coatcheck:".into(),
            connections: 4,
            response_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
        };
        assert!(redis() == redis());
        let with = |tls| Some(TlsConfig { ca: None, cert: Some(Vec::new()), ..tls });
        let changes: [&dyn Fn(&mut RedisConfig); 13] = [
            &|it| it.host = "other".into(),
            &|it| it.port = 6380,
            &|it| it.database = 1,
            &|it| it.tls = None,
            &|it| it.tls = with(TlsConfig { key: Some("another-key".into()), ..TlsConfig::default() }),
            &|it| it.tls = with(TlsConfig::default()),
            &|it| it.username = None,
            &|it| it.password = Some("another-password".into()),
            &|it| it.password = None,
            &|it| it.prefix = "other:".into(),
            &|it| it.connections = 5,
            &|it| it.response_timeout = Duration::from_secs(2),
            &|it| it.connect_timeout = Duration::from_secs(2),
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut other = redis();
            change(&mut other);
            assert!(other != redis(), "change {at}");
        }
    }
}
