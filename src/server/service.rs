//! What the handlers have in common: the job, the requests under way, and how both are found.

use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use super::api_error::ApiError;
use super::served_job::ServedJob;
use super::trigger_registry::TriggerRegistry;
use crate::telemetry::PrometheusText;

/// What all handlers of a server share.
pub(super) struct Service {
    pub(super) job: ServedJob,
    pub(super) metrics: Option<PrometheusText>,
    triggers: Mutex<TriggerRegistry>,
}

impl Service {
    pub(super) fn new(job: ServedJob, metrics: Option<PrometheusText>) -> Self {
        let now = u64::try_from(job.clock.unix_millis()).unwrap_or_default();
        let nonce = now.rotate_left(32) ^ u64::from(std::process::id());
        Self {
            job,
            metrics,
            triggers: Mutex::new(TriggerRegistry::new(nonce)),
        }
    }

    /// The job, if it is the one that the path names.
    pub(super) fn job_of(&self, request: &HttpRequest) -> Result<&ServedJob, ApiError> {
        let asked = segment(request, "job");
        if asked == self.job.name() {
            return Ok(&self.job);
        }
        let name = self.job.name();
        Err(ApiError::not_found(format!(
            "job {asked} is not here: this process runs job {name}"
        )))
    }

    /// The requests under way. Nobody else gets at them meanwhile.
    pub(super) fn triggers(&self) -> MutexGuard<'_, TriggerRegistry> {
        // Each change is a whole one, so a handler that panicked has left nothing half-done.
        self.triggers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the path that stands for `name`.
pub(super) fn segment<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}

/// Nothing lies at the path that was asked for.
pub(super) async fn nothing_here(request: HttpRequest) -> HttpResponse {
    ApiError::not_found(format!("there is nothing at {}", request.path())).error_response()
}

/// What lies at the path is not done by this method.
pub(super) async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let message = format!("{} is not done by {}", request.path(), request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).error_response()
}
