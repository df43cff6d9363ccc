//! The whole stack of one test: provider, store, replicas, upstream, Envoy. Built from a plan, torn down on
//! drop; and before that, what must hold after every test is asserted (`invariants.rs`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use super::browser::{Browser, Call, Response, Site};
use super::chaos::{Chaos, Link};
use super::coatcheck::Coatcheck;
use super::collector::Collector;
use super::envoy::{Envoy, Replica, Targets};
use super::hostile::Hostile;
use super::invariants;
use super::jwt;
use super::mode::Mode;
use super::otlp::Otlp;
use super::provider::Provider;
use super::redis::{Options, Redis};
use super::rendered;
use super::secrets::Secrets;
use super::upstream::Upstream;

/// The protected site of the tests. The name resolves only inside the test browser.
pub const SHOP: &str = "https://shop.example.test";
/// A second site behind the same Envoy.
pub const OTHER: &str = "https://other.example.test";
/// The session cookie's default name.
pub const COOKIE: &str = "__Host-Http-coatcheck";

type Edit = Box<dyn FnOnce(&mut Value)>;

/// What a test wants around it.
#[expect(clippy::struct_excessive_bools, reason = "each is one wish of a test, independent of the others")]
pub struct Plan {
    replicas: usize,
    redis: Option<Options>,
    store_link: bool,
    hostile: bool,
    otlp: bool,
    collector: bool,
    lifetimes: Value,
    provider: Value,
    config: Vec<Edit>,
    envoy: Vec<Edit>,
    rendered: bool,
    secret: Option<String>,
    client: String,
    metadata: Option<fn(&mut Value)>,
    down: bool,
    mode: Mode,
    file: Option<&'static str>,
}

impl Plan {
    /// One replica, the embedded store, the certified provider.
    pub fn new() -> Self {
        Self {
            replicas: 1,
            redis: None,
            store_link: false,
            hostile: false,
            otlp: false,
            collector: false,
            lifetimes: json!({}),
            provider: json!({}),
            config: Vec::new(),
            envoy: Vec::new(),
            rendered: false,
            secret: None,
            client: "shop".to_owned(),
            metadata: None,
            down: false,
            mode: crate::MODE,
            file: None,
        }
    }

    /// So many replicas, on a real Redis.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self.redis.get_or_insert_default();
        self
    }

    /// A real Redis set up in a special way.
    pub fn redis(mut self, options: Options) -> Self {
        self.redis = Some(options);
        self
    }

    /// A real Redis behind a link that can fail.
    pub fn store_link(mut self) -> Self {
        self.redis.get_or_insert_default();
        self.store_link = true;
        self
    }

    /// The hostile provider instead of the certified one.
    pub fn hostile(mut self) -> Self {
        self.hostile = true;
        self
    }

    /// An OTLP receiver that Envoy and coatcheck export to.
    pub fn otlp(mut self) -> Self {
        self.otlp = true;
        self
    }

    /// A real collector in front of the OTLP receiver.
    pub fn collector(mut self) -> Self {
        self.collector = true;
        self.otlp()
    }

    /// How long the certified provider's access tokens live, in seconds.
    pub fn access_tokens_live(mut self, seconds: u64) -> Self {
        self.lifetimes["access_token"] = seconds.into();
        self
    }

    /// One more setting of the certified provider.
    pub fn provider(mut self, key: &str, value: Value) -> Self {
        self.provider[key] = value;
        self
    }

    /// Changes coatcheck's config.
    pub fn config(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.config.push(Box::new(edit));
        self
    }

    /// Changes the first app of coatcheck's config.
    pub fn app(self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.config(move |config| edit(&mut config["apps"][0]))
    }

    /// Changes Envoy's config, after the addresses were replaced.
    pub fn envoy(mut self, edit: impl FnOnce(&mut Value) + 'static) -> Self {
        self.envoy.push(Box::new(edit));
        self
    }

    /// Envoy with what `coatcheck render envoy` prints for the first replica, instead of the shipped file.
    pub fn rendered(mut self) -> Self {
        self.rendered = true;
        self
    }

    /// One way of signing people in, whichever the suite is about.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Another of the shipped files in `envoy/` than the one of the mode.
    pub fn shipped(mut self, file: &'static str) -> Self {
        self.file = Some(file);
        self
    }

    /// Another client id and secret.
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        id.clone_into(&mut self.client);
        self.secret = Some(secret.to_owned());
        self
    }

    /// The store and the provider are unreachable when coatcheck starts.
    pub fn all_down(mut self) -> Self {
        self.down = true;
        self.store_link()
    }

    /// Starts with a hostile discovery document.
    pub async fn start_with_metadata(mut self, change: fn(&mut Value)) -> Stack {
        self.metadata = Some(change);
        self.start().await
    }

    /// Starts everything and waits until all listen.
    pub async fn start(mut self) -> Stack {
        let secrets = Secrets::new(self.secret.take());
        let (provider, hostile) = self.start_provider(&secrets.client).await;
        let redis = match self.redis.take() {
            Some(options) => Some(Redis::with(options).await),
            None => None,
        };
        let store_link = self.start_link(redis.as_ref()).await;
        let (otlp, collector) = self.start_otlp().await;
        let otlp_at = collector.as_ref().map(Collector::address).or(otlp.as_ref().map(|otlp| otlp.address));
        let upstream = Upstream::start().await;

        let issuer = provider.as_ref().map(|provider| provider.issuer.clone());
        let issuer = issuer.or_else(|| hostile.as_ref().map(|it| format!("http://{}", it.address)));
        let mut config = base_config(&issuer.expect("a provider"), &self.client, &secrets.files);
        let store = store_link.as_ref().map(|link| link.address);
        if let Some(at) = store.or_else(|| redis.as_ref().map(Redis::address)) {
            // Generous: tests share a few cores, and a hiccup of the machine is not their subject.
            config["store"] = json!({
                "kind": "redis", "url": format!("redis://{at}/0"),
                "response_timeout": "500ms", "connect_timeout": "1s",
            });
        }
        if let Some(at) = otlp_at {
            config["telemetry"]["otlp_endpoint"] = format!("http://{at}").into();
        }
        for edit in std::mem::take(&mut self.config) {
            edit(&mut config);
        }
        self.mode.choose(&mut config);
        let mut replicas = Vec::new();
        for _ in 0..self.replicas {
            replicas.push(Coatcheck::start(&config).await);
        }
        if self.rendered {
            let rendered = rendered::for_replica(&replicas[0], upstream.address);
            self.envoy.insert(0, Box::new(|config| *config = rendered));
        }
        let targets = Targets {
            replicas: replicas.iter().map(listeners).collect(),
            upstream: upstream.address,
            otlp: otlp_at.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9))),
        };
        let envoy = Envoy::start(self.file.unwrap_or(self.mode.envoy()), &targets, |config| {
            for edit in self.envoy {
                edit(config);
            }
        });
        let envoy = envoy.await;
        let browsers = Mutex::default();
        Stack { replicas, redis, store_link, provider, hostile, otlp, collector, upstream, envoy, secrets, browsers }
    }

    async fn start_otlp(&self) -> (Option<Otlp>, Option<Collector>) {
        if !self.otlp {
            return (None, None);
        }
        let otlp = Otlp::start().await;
        let collector = if self.collector { Some(Collector::start(otlp.http).await) } else { None };
        (Some(otlp), collector)
    }

    async fn start_link(&self, redis: Option<&Redis>) -> Option<Chaos> {
        if !self.store_link {
            return None;
        }
        let link = if self.down { Link::Cut } else { Link::Up };
        Some(Chaos::with(redis?.address(), link).await)
    }

    async fn start_provider(&self, secret: &str) -> (Option<Provider>, Option<Hostile>) {
        if self.hostile {
            let hostile = Hostile::start(secret).await;
            self.metadata.into_iter().for_each(|change| hostile.metadata(change));
            return (None, Some(hostile));
        }
        let mut settings = self.provider.clone();
        settings["clients"] = json!([client(&self.client, secret)]);
        settings["lifetimes"] = self.lifetimes.clone();
        let provider = Provider::start(&settings).await;
        if self.down {
            provider.down(true).await;
        }
        (Some(provider), None)
    }
}

/// The registration of a client at the certified provider.
pub fn client(id: &str, secret: &str) -> Value {
    json!({
        "client_id": id, "client_secret": secret,
        "redirect_uris": [format!("{SHOP}/auth/callback"), format!("{OTHER}/auth/callback")],
        "post_logout_redirect_uris":
            [format!("{SHOP}/auth/logout/done"), format!("{OTHER}/auth/logout/done")],
        "token_endpoint_auth_method": "client_secret_basic",
    })
}

fn listeners(replica: &Coatcheck) -> Replica {
    Replica { grpc: replica.grpc.clone(), http: replica.http.clone(), admin: replica.admin }
}

fn base_config(issuer: &str, client: &str, files: &TempDir) -> Value {
    let file = |name: &str| files.path().join(name).to_str().expect("a path").to_owned();
    json!({
        "listen": { "grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "admin": "127.0.0.1:0" },
        "keys": [{ "id": 1, "file": file("key-1") }],
        "providers": [{
            "name": "main", "issuer": issuer, "client_id": client,
            "client_secret_file": file("client"),
            "scopes": ["openid", "profile", "email", "offline_access"],
        }],
        "apps": [{
            "name": "shop", "origin": SHOP, "provider": "main",
            "upstream": {
                "authorization": "access_token",
                "headers": { "x-user-id": "sub", "x-user-email": "email", "x-user-groups": "groups" },
            },
            "rules": [
                { "paths": ["/public/**"], "session": "none" },
                { "paths": ["/optional/**"], "session": "optional" },
                { "paths": ["/admin/**"], "claims": { "groups": ["staff"] } },
            ],
        }],
        "telemetry": { "log_format": "json" },
        "shutdown": { "drain_delay": "100ms", "timeout": "20s" },
    })
}

/// The running stack.
pub struct Stack {
    pub replicas: Vec<Coatcheck>,
    pub redis: Option<Redis>,
    pub store_link: Option<Chaos>,
    pub provider: Option<Provider>,
    pub hostile: Option<Hostile>,
    pub otlp: Option<Otlp>,
    pub collector: Option<Collector>,
    pub upstream: Upstream,
    pub envoy: Envoy,
    pub secrets: Secrets,
    browsers: Mutex<Vec<Arc<Browser>>>,
}

impl Stack {
    /// A fresh browser that reaches both sites through Envoy.
    pub fn browser(&self) -> Arc<Browser> {
        let hosts = [SHOP, OTHER].map(|site| (host(site).to_owned(), self.envoy.address));
        let browser = Arc::new(Browser::new(HashMap::from(hosts)));
        self.browsers.lock().unwrap().push(Arc::clone(&browser));
        browser
    }

    /// A fresh browser that speaks TLS to Envoy.
    pub fn browser_over_tls(&self, trust: Arc<rustls::ClientConfig>) -> Arc<Browser> {
        let hosts = HashMap::from([(host(SHOP).to_owned(), self.envoy.address)]);
        let browser = Arc::new(Browser::new(hosts).with_tls(self.envoy.address, trust));
        self.browsers.lock().unwrap().push(Arc::clone(&browser));
        browser
    }

    /// A browser whose user is logged in at the shop.
    pub async fn logged_in(&self, user: &str) -> Arc<Browser> {
        let browser = self.browser();
        let landing = self.login(&browser, user, "/landing").await;
        assert_eq!(landing.status, 200, "the login lands: {}", landing.text());
        assert_eq!(landing.url.path(), "/landing");
        browser
    }

    /// Logs in at the shop and follows everything to the end.
    pub async fn login(&self, browser: &Browser, user: &str, return_to: &str) -> Response {
        let mut url = shop("/auth/login");
        url.query_pairs_mut().append_pair("return_to", return_to);
        browser.login_at(user, &url).await
    }

    /// A same-origin `fetch` of a path of the shop.
    pub async fn fetch(&self, browser: &Browser, path: &str) -> Response {
        browser.send(Call::fetch("GET", &shop(path), Site::SameOrigin)).await
    }

    /// The bearer token that the upstream gets for a `fetch` of a path of the shop.
    pub async fn token_for(&self, browser: &Browser, path: &str) -> String {
        let response = self.fetch(browser, path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let seen = self.upstream.latest(path).expect("the upstream was asked");
        seen.bearer().expect("an Authorization header")
    }

    /// The certified provider.
    pub fn provider(&self) -> &Provider {
        self.provider.as_ref().expect("the plan has the certified provider")
    }

    /// The hostile provider.
    pub fn hostile(&self) -> &Hostile {
        self.hostile.as_ref().expect("the plan has the hostile provider")
    }

    /// The OTLP receiver.
    pub fn otlp(&self) -> &Otlp {
        self.otlp.as_ref().expect("the plan has an OTLP receiver")
    }

    /// The Redis server.
    pub fn redis(&self) -> &Redis {
        self.redis.as_ref().expect("the plan has Redis")
    }

    /// The Redis server, to be stopped or restarted.
    pub fn redis_mut(&mut self) -> &mut Redis {
        self.redis.as_mut().expect("the plan has Redis")
    }

    /// The link between coatcheck and Redis.
    pub fn link(&self) -> &Chaos {
        self.store_link.as_ref().expect("the plan has a store link")
    }

    /// All browsers of this test.
    pub fn browsers(&self) -> Vec<Arc<Browser>> {
        self.browsers.lock().unwrap().clone()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            invariants::hold(self);
        }
    }
}

/// A URL of the shop.
pub fn shop(path: &str) -> Url {
    format!("{SHOP}{path}").parse().expect("a URL")
}

/// A URL of the other site.
pub fn other(path: &str) -> Url {
    format!("{OTHER}{path}").parse().expect("a URL")
}

/// The host of a site.
pub fn host(site: &str) -> &str {
    site.trim_start_matches("https://")
}

/// The value of the session cookie that a browser holds for the shop.
pub fn session_cookie(browser: &Browser) -> Option<String> {
    let cookies = browser.cookies(host(SHOP));
    cookies.into_iter().find(|cookie| cookie.name == COOKIE).map(|cookie| cookie.value)
}

/// The claims of a JWT, unverified.
pub fn claims_of(token: &str) -> Value {
    jwt::claims(token)
}

/// 32 random bytes in base64url.
pub fn random() -> String {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    jwt::encode(&bytes)
}
