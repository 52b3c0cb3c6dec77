//! The handlers for savepoints and for the stop, which can take one.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::api_error::ApiError;
use super::service::Service;
use super::trigger::{self, RequestBody};
use super::trigger_registry::TriggerKind;
use crate::engine::{SavepointRequest, StopRequest};

/// The body of a request for a savepoint. Unknown keys are passed over, as Flink's clients send some.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct SavepointBody {
    target_directory: Option<String>,
    cancel_job: bool,
    #[serde(alias = "triggerId")]
    trigger_id: Option<String>,
}

/// The body of a request to stop.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StopBody {
    target_directory: Option<String>,
    drain: bool,
    /// Whether a savepoint is taken. Flink always takes one.
    savepoint: bool,
    trigger_id: Option<String>,
}

impl Default for StopBody {
    fn default() -> Self {
        Self {
            target_directory: None,
            drain: false,
            savepoint: true,
            trigger_id: None,
        }
    }
}

/// `POST /jobs/{job}/savepoints`
pub(super) async fn take(
    request: HttpRequest,
    body: RequestBody,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let control = service.job_of(&request)?.control.clone();
    let body: SavepointBody = trigger::parse(body)?;
    if body.cancel_job {
        return Err(ApiError::bad_request(
            "cancel-job is not done here: POST to /jobs/{job}/stop to stop with a savepoint",
        ));
    }
    let directory = body.target_directory;
    let chosen = body.trigger_id.as_deref();
    trigger::begin(
        &service,
        &request,
        TriggerKind::Savepoint,
        chosen,
        || async move {
            let completed = control.savepoint(SavepointRequest { directory }).await?;
            Ok(json!({ "location": completed.path, "checkpointId": completed.id }))
        },
    )
    .await
}

/// `POST /jobs/{job}/stop`
pub(super) async fn stop(
    request: HttpRequest,
    body: RequestBody,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let control = service.job_of(&request)?.control.clone();
    let body: StopBody = trigger::parse(body)?;
    let takes_savepoint = body.savepoint || body.target_directory.is_some();
    let stop = StopRequest {
        savepoint: takes_savepoint.then_some(SavepointRequest {
            directory: body.target_directory,
        }),
        drain: body.drain,
    };
    let chosen = body.trigger_id.as_deref();
    trigger::begin(
        &service,
        &request,
        TriggerKind::Savepoint,
        chosen,
        || async move {
            tracing::info!("asked over HTTP: stopping with a last checkpoint");
            let completed = control.stop(stop).await?;
            let last = completed
                .savepoint
                .as_ref()
                .unwrap_or(&completed.checkpoint);
            Ok(json!({ "location": last.path, "checkpointId": last.id }))
        },
    )
    .await
}

/// `GET /jobs/{job}/savepoints/{trigger}`
pub(super) async fn state(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    service.job_of(&request)?;
    trigger::state(&service, &request, TriggerKind::Savepoint)
}
