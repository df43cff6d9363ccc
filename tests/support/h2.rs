//! HTTP/2 for the browser: cookie crumbs and repeated fields reach Envoy as separate fields.

use std::net::SocketAddr;

use axum::body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::browser::{Call, authority, origin_form};
use super::wire::Head;

/// Sends one request on a connection of its own.
pub async fn exchange(address: SocketAddr, call: &Call) -> (Head, Vec<u8>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request(call)).await.expect("an HTTP/2 response");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(Body::new(body), 1 << 22).await.expect("an HTTP/2 body");
    driver.abort();
    let mut head = Head { start: format!("HTTP/2 {}", parts.status.as_u16()), headers: Vec::new() };
    for (name, value) in &parts.headers {
        head.headers.push((name.to_string(), value.as_bytes().to_vec()));
    }
    (head, body.to_vec())
}

fn request(call: &Call) -> http::Request<Body> {
    let target = call.target.clone().unwrap_or_else(|| origin_form(&call.url));
    let uri = format!("http://{}{target}", authority(&call.url));
    let mut request = http::Request::builder().method(call.method.as_str()).uri(uri);
    for (name, value) in &call.headers {
        request = request.header(name.as_str(), value.as_slice());
    }
    request.body(Body::from(call.body.clone())).expect("a valid HTTP/2 request")
}
