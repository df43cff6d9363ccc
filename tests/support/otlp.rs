//! A real OTLP receiver: keeps every span and every metric it is sent, with the name of the service that sent it. Over gRPC,
//! and over HTTP with gzip, because the collector of the tests compresses whatever it is told and our tonic cannot read that.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// One span with its sender.
#[derive(Clone, Debug)]
pub struct Received {
    pub service: String,
    pub span: Span,
}

impl Received {
    /// An attribute in words.
    pub fn attribute(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }
}

#[derive(Clone, Default)]
struct Sink {
    spans: Arc<Mutex<Vec<Received>>>,
    /// By sender.
    metrics: Arc<Mutex<Vec<(String, Metric)>>>,
}

/// The running receiver.
pub struct Otlp {
    /// OTLP over gRPC.
    pub address: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    sink: Sink,
    tasks: [JoinHandle<()>; 2],
}

impl Otlp {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Sink::default();
        let (traces, metrics) = (TraceServiceServer::new(sink.clone()), MetricsServiceServer::new(sink.clone()));
        let grpc = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder().add_service(traces).add_service(metrics);
            let _ = server.serve_with_incoming(incoming).await;
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/traces", post(traces_by_http))
            .route("/v1/metrics", post(metrics_by_http))
            .with_state(sink.clone());
        let web = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, http, sink, tasks: [grpc, web] }
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Received> {
        self.sink.spans.lock().unwrap().clone()
    }

    /// Every metric so far, with the name of its sender.
    pub fn metrics(&self) -> Vec<(String, Metric)> {
        self.sink.metrics.lock().unwrap().clone()
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Sink {
    fn keep_spans(&self, request: ExportTraceServiceRequest) {
        let mut kept = self.spans.lock().unwrap();
        for resource in request.resource_spans {
            let service = sender(resource.resource);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Received { service: service.clone(), span }));
        }
    }

    fn keep_metrics(&self, request: ExportMetricsServiceRequest) {
        let mut kept = self.metrics.lock().unwrap();
        for resource in request.resource_metrics {
            let service = sender(resource.resource);
            let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            kept.extend(metrics.map(|metric| (service.clone(), metric)));
        }
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.keep_spans(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.keep_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn traces_by_http(State(sink): State<Sink>, body: Bytes) {
    sink.keep_spans(ExportTraceServiceRequest::decode(&*gunzip(&body).await).expect("spans"));
}

async fn metrics_by_http(State(sink): State<Sink>, body: Bytes) {
    sink.keep_metrics(ExportMetricsServiceRequest::decode(&*gunzip(&body).await).expect("metrics"));
}

/// By the program: no crate of ours unpacks anything.
async fn gunzip(body: &[u8]) -> Vec<u8> {
    let mut gzip = tokio::process::Command::new("gzip");
    let mut child = gzip.arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    // Batches are small: all of one fits into the pipe, or into what gzip has read before its first output.
    child.stdin.take().expect("a pipe").write_all(body).await.expect("gzip reads");
    let output = child.wait_with_output().await.expect("gzip ends");
    assert!(output.status.success(), "not gzip");
    output.stdout
}

fn sender(resource: Option<Resource>) -> String {
    resource.and_then(|resource| text(&resource.attributes, "service.name")).unwrap_or_default()
}

/// An attribute in words.
pub fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value?;
    if let any_value::Value::StringValue(text) = value {
        return Some(text);
    }
    if let any_value::Value::IntValue(number) = value {
        return Some(number.to_string());
    }
    Some(format!("{value:?}"))
}
