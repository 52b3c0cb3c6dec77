//! The handlers for the job itself: how it gets on, what failed in it, and its end.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::api_error::ApiError;
use super::job_json;
use super::service::{Service, segment};

/// `GET /jobs/overview`
pub(super) async fn overview(service: Data<Service>) -> HttpResponse {
    HttpResponse::Ok().json(job_json::overview(&service.job))
}

/// `GET /jobs/{job}`
pub(super) async fn details(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    Ok(HttpResponse::Ok().json(job_json::details(job)))
}

/// `PATCH /jobs/{job}?mode=cancel`
pub(super) async fn cancel(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    // Without a mode it is this one, as in Flink.
    match request.query_string() {
        "" | "mode=cancel" => {}
        _ => {
            return Err(ApiError::bad_request(
                "the only mode is cancel: POST to /jobs/{job}/stop to stop with a last checkpoint or a savepoint",
            ));
        }
    }
    tracing::warn!("asked over HTTP: ending without a last checkpoint");
    job.control.cancel();
    Ok(HttpResponse::Accepted().json(json!({})))
}

/// `GET /jobs/{job}/vertices/{vertex}/backpressure`
pub(super) async fn back_pressure(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    let id = segment(&request, "vertex");
    let vertex = job.vertex(id);
    let vertex = vertex.ok_or_else(|| ApiError::not_found(format!("there is no vertex {id}")))?;
    Ok(HttpResponse::Ok().json(job_json::back_pressure(job, vertex)))
}

/// `GET /metrics`
pub(super) async fn metrics(service: Data<Service>) -> Result<HttpResponse, ApiError> {
    let metrics = service.metrics.as_ref();
    let metrics = metrics.ok_or_else(|| {
        ApiError::not_found("the program that runs the job keeps its metrics elsewhere")
    })?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics.render()))
}

/// `GET /jobs/{job}/exceptions`
pub(super) async fn exceptions(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    Ok(HttpResponse::Ok().json(job_json::exceptions(job)))
}
