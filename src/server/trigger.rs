//! Requests that take a while: begun by one handler, asked after by another.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, rt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api_error::ApiError;
use super::service::{Service, segment};
use super::trigger_registry::{TriggerId, TriggerKind, TriggerRefusal, TriggerState};
use crate::error::Result as OperationResult;

/// The body of a request, or why it could not be read.
pub(super) type RequestBody = Result<Bytes, actix_web::Error>;

/// With this query a request is answered when it is decided, and not when it is begun.
const WAIT_QUERY: &str = "wait=true";

/// Reads a body of JSON. No body is as good as `{}`.
pub(super) fn parse<T: DeserializeOwned + Default>(body: RequestBody) -> Result<T, ApiError> {
    let body = body.map_err(|error| {
        let status = error.as_response_error().status_code();
        ApiError::new(status, format!("the body cannot be read: {error}"))
    })?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("the body is not as it should be: {error}")))
}

/// Begins what `operation` does, unless a request with the chosen id has begun it before, and answers with the id; with
/// `?wait=true`, with the outcome.
pub(super) async fn begin<F>(
    service: &Data<Service>,
    request: &HttpRequest,
    kind: TriggerKind,
    chosen: Option<&str>,
    operation: impl FnOnce() -> F,
) -> Result<HttpResponse, ApiError>
where
    F: Future<Output = OperationResult<Value>> + 'static,
{
    let begun = service.triggers().begin(kind, chosen);
    let (id, is_new) = begun.map_err(|refusal| {
        let status = match refusal {
            TriggerRefusal::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            TriggerRefusal::BadId => StatusCode::BAD_REQUEST,
        };
        ApiError::new(status, refusal.message())
    })?;
    if is_new {
        let decided = decide(service.clone(), id.clone(), operation());
        if request.query_string() == WAIT_QUERY {
            decided.await;
            return state_of(service, kind, &id.to_string());
        }
        // It is decided whether anybody asks for it or not.
        rt::spawn(decided);
    }
    Ok(HttpResponse::Accepted().json(json!({ "request-id": id.to_string() })))
}

/// How far the request is that the path names.
pub(super) fn state(
    service: &Service,
    request: &HttpRequest,
    kind: TriggerKind,
) -> Result<HttpResponse, ApiError> {
    state_of(service, kind, segment(request, "trigger"))
}

async fn decide(
    service: Data<Service>,
    id: TriggerId,
    operation: impl Future<Output = OperationResult<Value>>,
) {
    let outcome = operation.await.map_err(|error| error.full_message());
    service.triggers().decide(&id, outcome);
}

fn state_of(service: &Service, kind: TriggerKind, id: &str) -> Result<HttpResponse, ApiError> {
    let triggers = service.triggers();
    let state = triggers.state(kind, id);
    let state = state.ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no request {id} of this kind, or not any more"
        ))
    })?;
    let (status, operation) = match state {
        TriggerState::InProgress => ("IN_PROGRESS", Value::Null),
        TriggerState::Done(value) => ("COMPLETED", value.clone()),
        TriggerState::Failed(reason) => (
            "COMPLETED",
            json!({ "failure-cause": { "class": "floodmark", "stack-trace": reason } }),
        ),
    };
    Ok(HttpResponse::Ok().json(json!({
        "request-id": id,
        "status": { "id": status },
        "operation": operation,
    })))
}
