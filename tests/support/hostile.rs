//! A small OpenID provider that does wrong what a certified one cannot be made to do. Honest unless a flaw is
//! set: it signs in at once, without a form, whoever asks. It counts every call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::jwt::{self, Forgery, Key};

/// What the token endpoint does wrong.
#[derive(Clone, Copy, Debug)]
pub enum Flaw {
    /// Nothing.
    None,
    /// The ID token's claims are changed before it is signed.
    Claims(fn(&mut Value)),
    /// The token answer is changed.
    Answer(fn(&mut Value)),
    /// The ID token's signature is forged.
    Forged(Forgery),
    /// The answer itself is broken.
    Reply(Reply),
}

/// Answers that are no token answers.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Error(u16, &'static str),
    Truncated,
    NotJson,
    Huge,
    Redirect,
    Slow(Duration),
}

/// How often each endpoint was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub discovery: usize,
    pub jwks: usize,
    pub code: usize,
    pub refresh: usize,
    pub revocation: usize,
    pub end_session: usize,
}

struct Inner {
    issuer: String,
    client_secret: String,
    key: Key,
    flaw: Flaw,
    refresh_flaw: Flaw,
    metadata: fn(&mut Value),
    lifetime: u64,
    padding: usize,
    serial: usize,
    nonces: HashMap<String, (String, String)>,
    counts: Counts,
    minted: Vec<String>,
}

type Shared = Arc<Mutex<Inner>>;

/// The running provider.
pub struct Hostile {
    pub address: SocketAddr,
    inner: Shared,
    task: JoinHandle<()>,
}

impl Hostile {
    /// Starts it; clients must know it by its own address.
    pub async fn start(client_secret: &str) -> Self {
        let hostile = Self::bound(client_secret).await;
        let issuer = format!("http://{}", hostile.address);
        hostile.known_as(&issuer);
        hostile
    }

    async fn bound(client_secret: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner {
            issuer: String::new(),
            client_secret: client_secret.to_owned(),
            key: Key::generate("key-0"),
            flaw: Flaw::None,
            refresh_flaw: Flaw::None,
            metadata: |_| {},
            lifetime: 3600,
            padding: 0,
            serial: 0,
            nonces: HashMap::new(),
            counts: Counts::default(),
            minted: Vec::new(),
        }));
        let app = router().with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { address, inner, task }
    }

    /// The issuer it names, for instance a link in front of it.
    pub fn known_as(&self, issuer: &str) {
        issuer.clone_into(&mut self.lock().issuer);
    }

    /// What to do wrong when a code is redeemed.
    pub fn flaw(&self, flaw: Flaw) {
        self.lock().flaw = flaw;
    }

    /// What to do wrong when a refresh token is used.
    pub fn refresh_flaw(&self, flaw: Flaw) {
        self.lock().refresh_flaw = flaw;
    }

    /// Changes the discovery document.
    pub fn metadata(&self, change: fn(&mut Value)) {
        self.lock().metadata = change;
    }

    /// How long access tokens live.
    pub fn lifetime(&self, seconds: u64) {
        self.lock().lifetime = seconds;
    }

    /// Access tokens grow by so many characters.
    pub fn large_tokens(&self, padding: usize) {
        self.lock().padding = padding;
    }

    /// Signs with a new key from now on; the old one is no longer published.
    pub fn rotate_key(&self) {
        let mut inner = self.lock();
        inner.serial += 1;
        let kid = format!("key-{}", inner.serial);
        inner.key = Key::generate(&kid);
    }

    /// The calls so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Every token and code it ever gave out.
    pub fn minted(&self) -> Vec<String> {
        self.lock().minted.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router() -> Router<Shared> {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/end", get(end))
}

async fn discovery(State(shared): State<Shared>) -> Json<Value> {
    let mut inner = shared.lock().unwrap();
    inner.counts.discovery += 1;
    let issuer = inner.issuer.clone();
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "end_session_endpoint": format!("{issuer}/end"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    (inner.metadata)(&mut document);
    Json(document)
}

async fn jwks(State(shared): State<Shared>) -> Json<Value> {
    let mut inner = shared.lock().unwrap();
    inner.counts.jwks += 1;
    Json(json!({ "keys": [inner.key.jwk()] }))
}

async fn authorize(State(shared): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Redirect {
    let mut inner = shared.lock().unwrap();
    let code = mint(&mut inner, "code");
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    inner.nonces.insert(code.clone(), (field("nonce"), field("client_id")));
    let mut target = url::Url::parse(&field("redirect_uri")).expect("a redirect_uri");
    target
        .query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &field("state"))
        .append_pair("iss", &inner.issuer);
    Redirect::to(target.as_str())
}

async fn token(State(shared): State<Shared>, Form(form): Form<HashMap<String, String>>) -> Response {
    let (flaw, answer) = {
        let mut inner = shared.lock().unwrap();
        let redeems = form.get("grant_type").is_some_and(|grant| grant == "authorization_code");
        let flaw = if redeems { inner.flaw } else { inner.refresh_flaw };
        if redeems {
            inner.counts.code += 1;
        } else {
            inner.counts.refresh += 1;
        }
        if let Some(verifier) = form.get("code_verifier") {
            inner.minted.push(verifier.clone());
        }
        let key = form.get("code").or_else(|| form.get("refresh_token")).cloned();
        let (nonce, client) = key.and_then(|key| inner.nonces.get(&key).cloned()).unwrap_or_default();
        (flaw, answer(&mut inner, flaw, &nonce, &client, redeems))
    };
    match flaw {
        Flaw::Reply(reply) => broken(reply, &answer).await,
        Flaw::None | Flaw::Claims(_) | Flaw::Answer(_) | Flaw::Forged(_) => Json(answer).into_response(),
    }
}

fn answer(inner: &mut Inner, flaw: Flaw, nonce: &str, client: &str, redeems: bool) -> Value {
    let access = mint(inner, &format!("access{}", "x".repeat(inner.padding)));
    let refresh = mint(inner, "refresh");
    inner.nonces.insert(refresh.clone(), (nonce.to_owned(), client.to_owned()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": inner.issuer, "sub": "alice", "aud": client, "iat": now, "exp": now + 600,
        "at_hash": jwt::at_hash(&access), "email": "alice@example.test", "sid": "sid-1",
    });
    if redeems {
        claims["nonce"] = nonce.into();
    }
    if let Flaw::Claims(change) = flaw {
        change(&mut claims);
    }
    let id_token = match flaw {
        Flaw::Forged(forgery) => inner.key.forge(&claims, forgery, &inner.client_secret),
        Flaw::None | Flaw::Claims(_) | Flaw::Answer(_) | Flaw::Reply(_) => inner.key.sign(&claims),
    };
    inner.minted.push(id_token.clone());
    let mut answer = json!({
        "token_type": "Bearer", "access_token": access, "refresh_token": refresh,
        "id_token": id_token, "expires_in": inner.lifetime, "scope": "openid",
    });
    if let Flaw::Answer(change) = flaw {
        change(&mut answer);
    }
    answer
}

async fn broken(reply: Reply, answer: &Value) -> Response {
    match reply {
        Reply::Error(status, error) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, Json(json!({ "error": error }))).into_response()
        }
        Reply::Truncated => {
            let text = answer.to_string();
            json_text(text[..text.len() / 2].to_owned())
        }
        Reply::NotJson => json_text("<html>it works</html>".to_owned()),
        Reply::Huge => json_text(format!("{{\"access_token\":\"{}\"}}", "x".repeat(20 << 20))),
        Reply::Redirect => Redirect::temporary("/jwks").into_response(),
        Reply::Slow(by) => {
            super::patience::elapse(by).await;
            Json(answer.clone()).into_response()
        }
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn revoke(State(shared): State<Shared>) -> StatusCode {
    shared.lock().unwrap().counts.revocation += 1;
    StatusCode::OK
}

async fn end(State(shared): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Redirect {
    shared.lock().unwrap().counts.end_session += 1;
    let field = |name: &str| query.get(name).cloned().unwrap_or_default();
    Redirect::to(&format!("{}?state={}", field("post_logout_redirect_uri"), field("state")))
}

fn mint(inner: &mut Inner, kind: &str) -> String {
    inner.serial += 1;
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    let token = format!("{kind}-{}-{}", inner.serial, jwt::encode(&bytes));
    inner.minted.push(token.clone());
    token
}
