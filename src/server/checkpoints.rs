//! The handlers for checkpoints: what became of them, and one more.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::api_error::ApiError;
use super::checkpoint_json;
use super::service::{Service, segment};
use super::trigger::{self, RequestBody};
use super::trigger_registry::TriggerKind;
use crate::model::CheckpointId;
use crate::telemetry::statistics::CheckpointReport;

/// The body of a request for a checkpoint. Unknown keys are passed over, as Flink's clients send some.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CheckpointBody {
    checkpoint_type: Option<String>,
    trigger_id: Option<String>,
}

/// `GET /jobs/{job}/checkpoints`
pub(super) async fn overview(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    let value = checkpoint_json::overview(&job.status.checkpoints());
    Ok(HttpResponse::Ok().json(value))
}

/// `GET /jobs/{job}/checkpoints/config`
pub(super) async fn config(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    Ok(HttpResponse::Ok().json(checkpoint_json::config(&job.checkpoint)))
}

/// `GET /jobs/{job}/checkpoints/details/{checkpoint}`
pub(super) async fn details(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    let report = report(&request, &service)?;
    Ok(HttpResponse::Ok().json(checkpoint_json::details(&report, &job.outline)))
}

/// `GET /jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}`
pub(super) async fn subtasks(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let job = service.job_of(&request)?;
    let report = report(&request, &service)?;
    let vertex = segment(&request, "vertex");
    if job.vertex(vertex).is_none() {
        return Err(ApiError::not_found(format!("there is no vertex {vertex}")));
    }
    let value = checkpoint_json::subtasks(&report, vertex, job.outline.parallelism);
    Ok(HttpResponse::Ok().json(value))
}

/// `POST /jobs/{job}/checkpoints`
pub(super) async fn take(
    request: HttpRequest,
    body: RequestBody,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let control = service.job_of(&request)?.control.clone();
    let body: CheckpointBody = trigger::parse(body)?;
    if let Some(kind @ ("INCREMENTAL" | "FULL")) = body.checkpoint_type.as_deref() {
        let message =
            format!("checkpointType {kind} cannot be chosen: leave it out, or use CONFIGURED");
        return Err(ApiError::bad_request(message));
    }
    let chosen = body.trigger_id.as_deref();
    trigger::begin(
        &service,
        &request,
        TriggerKind::Checkpoint,
        chosen,
        || async move {
            let completed = control.checkpoint().await?;
            Ok(json!({ "checkpointId": completed.id, "location": completed.path }))
        },
    )
    .await
}

/// `GET /jobs/{job}/checkpoints/{trigger}`
pub(super) async fn state(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    service.job_of(&request)?;
    trigger::state(&service, &request, TriggerKind::Checkpoint)
}

fn report(request: &HttpRequest, service: &Service) -> Result<CheckpointReport, ApiError> {
    let id = segment(request, "checkpoint");
    let parsed = id.parse().map(CheckpointId);
    let parsed =
        parsed.map_err(|_| ApiError::bad_request(format!("{id} is no checkpoint's id")))?;
    let statistics = service.job.status.checkpoints();
    let report = statistics.report(parsed).cloned();
    report.ok_or_else(|| {
        ApiError::not_found(format!(
            "the history has no checkpoint {id}, or not any more: it keeps checkpoint.history_max of them"
        ))
    })
}
