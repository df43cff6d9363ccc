//! A gRPC client of few manners, for what Envoy does under stress and others do always: streams that are reset, messages
//! that never end.

use std::time::Duration;

use axum::body::{Body, Bytes};
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::check::{Answer, shaped};

/// One connection.
pub struct Raw {
    sender: SendRequest<Body>,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Raw {
    /// Connects with TCP.
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        Self { sender, driver: tokio::spawn(connection) }
    }

    /// Asks and waits for the answer.
    pub async fn ask(&mut self, request: &CheckRequest, timeout: Duration) -> Answer {
        self.send(Body::from(framed(request)), timeout).await
    }

    /// Sends all of a request but its last byte, and no end.
    pub async fn ask_without_end(&mut self, request: &CheckRequest, timeout: Duration) -> Answer {
        let frame = framed(request);
        let most = Ok::<_, std::io::Error>(frame.slice(..frame.len() - 1));
        let rest = futures_util::StreamExt::chain(
            futures_util::stream::iter([most]),
            futures_util::stream::pending::<std::io::Result<Bytes>>(),
        );
        self.send(Body::from_stream(rest), timeout).await
    }

    /// Opens a stream, lets the connection send it, and resets it.
    pub async fn ask_and_reset(&mut self, request: &CheckRequest) {
        self.sender.ready().await.expect("the connection lives");
        let call = self.sender.send_request(call(Body::from(framed(request)), Duration::from_secs(5)));
        let answered = tokio::time::timeout(Duration::ZERO, call).await;
        assert!(answered.is_err(), "it was meant to wait");
        tokio::task::yield_now().await;
    }

    async fn send(&mut self, body: Body, timeout: Duration) -> Answer {
        self.sender.ready().await.expect("the connection lives");
        let response = self.sender.send_request(call(body, timeout)).await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("grpc-status"), "a gRPC error may be let through");
        let body = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await.expect("a whole answer");
        shaped(CheckResponse::decode(body.slice(5..)).expect("a CheckResponse"))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn call(body: Body, timeout: Duration) -> http::Request<Body> {
    http::Request::post("http://coatcheck/envoy.service.auth.v3.Authorization/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", timeout.as_millis()))
        .body(body)
        .unwrap()
}

fn framed(request: &CheckRequest) -> Bytes {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(request.encoded_len()).unwrap().to_be_bytes());
    request.encode(&mut frame).unwrap();
    frame.into()
}
