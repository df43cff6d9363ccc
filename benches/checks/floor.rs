//! The floor: stock tonic and `envoy-types` that answer OK without looking, as a process of their own.

use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::process::Server;

/// Makes this binary the floor server.
pub(crate) const ARGUMENT: &str = "--serve-the-floor";

/// Lets it answer with a token-sized header.
pub(crate) const WITH_HEADER: &str = "--with-header";

struct Floor {
    answer: CheckResponse,
}

#[tonic::async_trait]
impl Authorization for Floor {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }
}

/// Starts the floor as a child of this process.
pub(crate) fn start(with_header: bool) -> Server {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.arg(ARGUMENT);
    if with_header {
        command.arg(WITH_HEADER);
    }
    Server::start(command)
}

/// What the child does, for ever.
pub(crate) fn serve(with_header: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        crate::process::announce(listener.local_addr().unwrap());
        let service = AuthorizationServer::new(Floor { answer: answer(with_header) });
        let incoming = TcpListenerStream::new(listener);
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
}

fn answer(with_header: bool) -> CheckResponse {
    let status = Some(RpcStatus { code: 0, ..RpcStatus::default() });
    let header = HeaderValue {
        key: "authorization".to_owned(),
        value: format!("Bearer {}", crate::sessions::token(1_700)),
        ..HeaderValue::default()
    };
    let headers = vec![HeaderValueOption { header: Some(header), ..HeaderValueOption::default() }];
    let ok = OkHttpResponse { headers, ..OkHttpResponse::default() };
    let http_response = with_header.then_some(HttpResponse::OkResponse(ok));
    CheckResponse { status, http_response, ..CheckResponse::default() }
}
