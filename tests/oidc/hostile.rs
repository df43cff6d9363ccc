//! A small provider on loopback that answers whatever a test tells it to, and remembers what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::signer::Signer;

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const JWKS: &str = "/jwks";
pub(crate) const TOKEN: &str = "/token";
pub(crate) const USERINFO: &str = "/userinfo";
pub(crate) const REVOCATION: &str = "/revoke";

/// What an endpoint answers.
#[derive(Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    Text(u16, &'static str, String),
    Redirect(u16, String),
    /// Nothing at all: the request is read and never answered.
    Silence,
    /// Headers and a first piece, then nothing.
    Stall,
    /// Fewer bytes than announced, then the connection ends.
    Truncated(String),
    /// More than the limit, announced by `Content-Length`.
    Oversize,
    /// More than the limit, never announced, never ending.
    Endless,
}

impl Reply {
    /// Whether only the caller's timeout ends it.
    pub(crate) fn hangs(&self) -> bool {
        matches!(self, Self::Silence | Self::Stall)
    }
}

/// What an endpoint was asked.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) form: HashMap<String, String>,
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    calls: Mutex<Vec<Call>>,
}

/// The provider. It stops with the test.
pub(crate) struct Hostile {
    pub(crate) issuer: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Hostile {
    /// Starts with a proper discovery document and the public keys of `signers`.
    pub(crate) async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        #[expect(clippy::disallowed_methods, reason = "aborted when the test's provider is dropped")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let provider = Self { issuer, shared, server };
        provider.on(DISCOVERY, Reply::Json(200, provider.document()));
        provider.publish(signers);
        provider
    }

    /// A proper discovery document.
    pub(crate) fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at(TOKEN),
            "jwks_uri": at(JWKS),
            "userinfo_endpoint": at(USERINFO),
            "revocation_endpoint": at(REVOCATION),
            "end_session_endpoint": at("/logout?from=rp"),
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// Replaces the key set.
    pub(crate) fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.on(JWKS, Reply::Json(200, json!({ "keys": keys })));
    }

    /// Answers `path` like this from now on.
    pub(crate) fn on(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap().insert(path.into(), reply);
    }

    /// The calls that `path` has seen.
    pub(crate) fn calls(&self, path: &str) -> Vec<Call> {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.path == path).cloned().collect()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    shared.calls.lock().unwrap().push(Call { method, path: path.clone(), headers, form });
    let reply = shared.replies.lock().unwrap().get(&path).cloned();
    match reply {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Reply::Json(status, body)) => respond(status, "application/json", Body::from(body.to_string())),
        Some(Reply::Text(status, kind, body)) => respond(status, kind, Body::from(body)),
        Some(Reply::Redirect(status, to)) => {
            Response::builder().status(status).header("location", to).body(Body::empty()).unwrap()
        }
        Some(Reply::Silence) => std::future::pending().await,
        Some(Reply::Stall) => {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
            respond(200, "application/json", Body::from_stream(first.chain(stream::pending())))
        }
        Some(Reply::Truncated(body)) => {
            let pieces = [Ok(Bytes::from(body)), Err(std::io::Error::other("cut"))];
            respond(200, "application/json", Body::from_stream(stream::iter(pieces)))
        }
        Some(Reply::Oversize) => respond(200, "application/json", Body::from(" ".repeat(2 * 1024 * 1024))),
        Some(Reply::Endless) => {
            let piece = Bytes::from(" ".repeat(16 * 1024));
            respond(200, "application/json", Body::from_stream(stream::repeat(Ok::<_, Infallible>(piece))))
        }
    }
}

fn respond(status: u16, kind: &str, body: Body) -> Response {
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}
