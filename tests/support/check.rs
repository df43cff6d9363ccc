//! A gRPC client that plays Envoy: sends `CheckRequest`s and states what ENVOY.md §1.3 demands of every answer.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use tonic::transport::{Channel, Endpoint};

/// How the request's headers are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `headers`: one entry per name, repeats joined by a comma, as most control planes send.
    Joined,
    /// `header_map`: every line, as with `encode_raw_headers`.
    Raw,
}

/// One request in Envoy's words.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub host: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub extensions: Vec<(String, String)>,
    pub encoding: Encoding,
}

impl Asked {
    /// A navigation to a path of a host.
    pub fn navigation(host: &str, path: &str) -> Self {
        let headers = [
            ("accept", "text/html"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", "none"),
        ];
        Self {
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            extensions: Vec::new(),
            encoding: Encoding::Raw,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a context extension.
    pub fn extension(mut self, name: &str, value: &str) -> Self {
        self.extensions.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Chooses the encoding.
    pub fn encoded(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The request as Envoy words it.
    pub fn request(&self) -> CheckRequest {
        let mut lines = vec![
            (":method".to_owned(), self.method.clone()),
            (":authority".to_owned(), self.host.clone()),
            (":path".to_owned(), self.path.clone()),
            (":scheme".to_owned(), "https".to_owned()),
        ];
        lines.extend(self.headers.iter().cloned());
        let mut http = HttpRequest {
            id: "1".to_owned(),
            method: self.method.clone(),
            path: self.path.clone(),
            host: self.host.clone(),
            scheme: "https".to_owned(),
            protocol: "HTTP/1.1".to_owned(),
            ..HttpRequest::default()
        };
        match self.encoding {
            Encoding::Joined => http.headers = joined(lines),
            Encoding::Raw => http.header_map = Some(raw(lines)),
        }
        let request = Request { time: None, http: Some(http) };
        let attributes = AttributeContext {
            request: Some(request),
            context_extensions: self.extensions.iter().cloned().collect(),
            ..AttributeContext::default()
        };
        CheckRequest { attributes: Some(attributes) }
    }
}

fn joined(lines: Vec<(String, String)>) -> HashMap<String, String> {
    let mut map = HashMap::<String, String>::new();
    for (name, value) in lines {
        let entry = map.entry(name);
        entry.and_modify(|known| *known = format!("{known},{value}")).or_insert(value);
    }
    map
}

fn raw(lines: Vec<(String, String)>) -> HeaderMap {
    let header =
        |(key, value): (String, String)| HeaderValue { key, raw_value: value.into_bytes(), ..HeaderValue::default() };
    HeaderMap { headers: lines.into_iter().map(header).collect() }
}

/// What was answered, with its shape already asserted.
#[derive(Clone, Debug)]
pub enum Answer {
    Allowed(OkHttpResponse),
    Denied(DeniedHttpResponse),
}

impl Answer {
    /// The denial's HTTP status.
    pub fn denied(&self) -> i32 {
        match self {
            Self::Denied(denied) => denied.status.as_ref().map_or(403, |status| status.code),
            Self::Allowed(ok) => panic!("allowed: {ok:?}"),
        }
    }

    /// What is set upstream.
    pub fn sets(&self) -> HashMap<String, String> {
        let Self::Allowed(ok) = self else { panic!("denied with {}", self.denied()) };
        let header = |option: &envoy_types::pb::envoy::config::core::v3::HeaderValueOption| {
            let header = option.header.clone().unwrap_or_default();
            (header.key.to_ascii_lowercase(), header.value)
        };
        ok.headers.iter().map(header).collect()
    }

    /// What is removed on the way upstream, in lower case.
    pub fn removes(&self) -> Vec<String> {
        let Self::Allowed(ok) = self else { panic!("denied with {}", self.denied()) };
        ok.headers_to_remove.iter().map(|name| name.to_ascii_lowercase()).collect()
    }
}

/// A connection as Envoy's.
pub struct Asker(AuthorizationClient<Channel>);

impl Asker {
    /// Connects to `127.0.0.1:1` or `unix:/path`.
    pub async fn connect(address: &str) -> Self {
        let target = match address.strip_prefix("unix:") {
            Some(path) => format!("unix://{path}"),
            None => format!("http://{address}"),
        };
        let channel = Endpoint::from_shared(target).unwrap().connect().await.expect("connects");
        Self(AuthorizationClient::new(channel))
    }

    /// Asks; every auth outcome must be an answer, never a gRPC error.
    pub async fn ask(&mut self, asked: &Asked) -> Answer {
        let answer = self.0.check(asked.request()).await;
        shaped(answer.expect("an auth outcome is never a gRPC error").into_inner())
    }

    /// Asks with a request of any shape.
    pub async fn ask_raw(&mut self, request: CheckRequest) -> CheckResponse {
        self.0.check(request).await.expect("never a gRPC error").into_inner()
    }
}

/// Asserts the response rules of ENVOY.md §1.2 and §1.3.
pub fn shaped(response: CheckResponse) -> Answer {
    let code = response.status.as_ref().expect("a status, always").code;
    match response.http_response.expect("an HTTP response, always") {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0, "an allow has code 0");
            well_formed(&ok);
            Answer::Allowed(ok)
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(code, 0, "code 0 lets the request through");
            assert!(denied.headers.iter().all(|header| !is_append(header)));
            Answer::Denied(denied)
        }
        HttpResponse::ErrorResponse(_) => panic!("an error_response may fail open"),
    }
}

#[expect(deprecated, reason = "the test asserts that the deprecated field is not used")]
fn is_append(option: &envoy_types::pb::envoy::config::core::v3::HeaderValueOption) -> bool {
    option.append.is_some_and(|append| append.value)
}

fn well_formed(ok: &OkHttpResponse) {
    let mut names = Vec::new();
    for option in &ok.headers {
        let header = option.header.as_ref().expect("a header");
        let name = header.key.to_ascii_lowercase();
        let overwrite = HeaderAppendAction::OverwriteIfExistsOrAdd;
        assert_eq!(option.append_action(), overwrite, "{name} must say OVERWRITE");
        assert!(!is_append(option), "{name} must not append");
        assert!(header.raw_value.is_empty(), "{name}: Envoy ignores raw_value here");
        assert!(!names.contains(&name), "{name} is set twice");
        names.push(name);
    }
    let removed = ok.headers_to_remove.iter().map(|name| name.to_ascii_lowercase());
    for name in removed {
        assert!(!names.contains(&name), "{name} is both set and removed: Envoy would remove it");
    }
}
