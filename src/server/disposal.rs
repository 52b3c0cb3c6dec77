//! The handlers that remove savepoints.

use std::path::Path;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::api_error::ApiError;
use super::service::Service;
use super::trigger::{self, RequestBody};
use super::trigger_registry::TriggerKind;
use crate::config::S3Section;
use crate::error::{Error, Result as OperationResult};
use crate::snapshot::SnapshotAt;

/// The body of a request to remove a savepoint.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct DisposalBody {
    savepoint_path: Option<String>,
}

/// `POST /savepoint-disposal`
pub(super) async fn dispose(
    request: HttpRequest,
    body: RequestBody,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    let body: DisposalBody = trigger::parse(body)?;
    let path = body.savepoint_path;
    let path = path.ok_or_else(|| ApiError::bad_request("savepoint-path is missing"))?;
    let s3 = service.job.checkpoint.s3.clone();
    trigger::begin(
        &service,
        &request,
        TriggerKind::Disposal,
        None,
        || async move {
            remove(&path, &s3).await?;
            tracing::info!(path, "asked over HTTP: the savepoint is removed");
            Ok(json!({}))
        },
    )
    .await
}

/// `GET /savepoint-disposal/{trigger}`
pub(super) async fn state(
    request: HttpRequest,
    service: Data<Service>,
) -> Result<HttpResponse, ApiError> {
    trigger::state(&service, &request, TriggerKind::Disposal)
}

/// Removes a savepoint; one on S3 is reached as the job's checkpoints are.
async fn remove(path: &str, s3: &S3Section) -> OperationResult<()> {
    let working_directory =
        std::env::current_dir().map_err(|error| Error::io("find the working directory", error))?;
    let snapshot = SnapshotAt::open_with(path, Path::new(&working_directory), s3).await?;
    snapshot.dispose().await.map(drop)
}
