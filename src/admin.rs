//! The admin listener: `/livez`, `/readyz`, `/metrics`. For operators and kubelets, never for browsers.
//!
//! It tells what is missing, but neither keys nor values: error texts of the ports hold none.

pub mod probe;
pub mod readiness;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};

use self::readiness::Readiness;
use crate::telemetry::metrics::Metrics;

/// The routes. `HEAD` works wherever `GET` does.
pub fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(render).with_state(metrics))
        .layer(middleware::map_response(uncached))
}

/// Answers as long as the process can answer: restarting it helps against nothing that it can notice itself.
async fn livez() -> &'static str {
    "ok\n"
}

/// 200 when ready, 503 when not; either way the body says how things stand.
async fn readyz(State(readiness): State<Readiness>) -> Response {
    let status = readiness.status();
    let code = if status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(status.report())).into_response()
}

async fn render(State(metrics): State<Metrics>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

async fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
