//! The server's life: bound before the job starts, ended after it.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::{KeepAlive, StatusCode, header};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Data, PayloadConfig};
use actix_web::{App, Error as HttpError, HttpServer, rt};

use super::api_error::ApiError;
use super::guard::{Guard, Refusal, RequestFacts};
use super::routes;
use super::served_job::ServedJob;
use super::service::Service;
use super::settings::{
    BODY_BYTES_MAX, CONNECTIONS_MAX, REQUEST_TIMEOUT, SHUTDOWN_TIMEOUT_SECONDS, ServerSettings,
    TIDY_INTERVAL,
};
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::PrometheusText;

/// A server that has its address, and does not answer yet.
#[derive(Debug)]
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

/// A server that answers, on a thread of its own. Dropped, it stops.
#[derive(Debug)]
pub struct RunningServer {
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl BoundServer {
    /// Takes the address, so that a job is not started whose server could not be.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the address cannot be had, for example because another process has it.
    pub fn bind(settings: ServerSettings) -> Result<Self> {
        let ServerSettings { address, token } = settings;
        let failed = |error| Error::io(format!("server.address: listen at {address}"), error);
        let listener = TcpListener::bind(address).map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            guard: Guard::new(address, token),
        })
    }

    /// The address, with the port that the system has chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to answer for `job`.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when its thread cannot be started.
    pub fn serve(self, job: ServedJob, metrics: Option<PrometheusText>) -> Result<RunningServer> {
        let (sender, started) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("floodmark-server".to_owned())
            .spawn(move || rt::System::new().block_on(self.answer(job, metrics, sender)))
            .map_err(|error| Error::io("start the server's thread", error))?;
        let is_gone = |_| Err(Error::new(ErrorKind::Bug, "the server's thread is gone"));
        let handle = started.recv().unwrap_or_else(is_gone)?;
        Ok(RunningServer {
            handle,
            thread: Some(thread),
        })
    }

    async fn answer(
        self,
        job: ServedJob,
        metrics: Option<PrometheusText>,
        started: SyncSender<Result<ServerHandle>>,
    ) {
        if let Some(metrics) = metrics.clone() {
            rt::spawn(tidy_up(metrics));
        }
        let service = Data::new(Service::new(job, metrics));
        let guard = Data::new(self.guard);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(service.clone())
                .app_data(guard.clone())
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .wrap(from_fn(check))
                .configure(routes::add)
        });
        let server = server
            .workers(1)
            .max_connections(CONNECTIONS_MAX)
            // Whoever is connected and asks nothing would hold up the end.
            .keep_alive(KeepAlive::Disabled)
            .client_request_timeout(REQUEST_TIMEOUT)
            .shutdown_timeout(SHUTDOWN_TIMEOUT_SECONDS)
            // Signals are the job's.
            .disable_signals()
            .listen(self.listener)
            .map(HttpServer::run);
        match server {
            Ok(server) => {
                // Whoever started it waits for this.
                let _ = started.send(Ok(server.handle()));
                if let Err(error) = server.await {
                    tracing::warn!(%error, "the server has failed");
                }
            }
            Err(error) => {
                let _ = started.send(Err(Error::io("start the server", error)));
            }
        }
    }
}

impl RunningServer {
    /// Ends the server, once what it is answering just now is answered. Blocks for that long, a few seconds at most.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // The order is given at once; the thread ends when it is carried out.
        drop(self.handle.stop(true));
        if let Some(thread) = self.thread.take() {
            // A server that panicked has nothing left to answer.
            let _ = thread.join();
        }
    }
}

async fn tidy_up(metrics: PrometheusText) {
    let mut ticks = rt::time::interval(TIDY_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.tidy_up();
    }
}

/// Lets a request through to its handler, if it may.
async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, HttpError> {
    let guard = request.app_data::<Data<Guard>>().cloned();
    let header = |name| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let facts = RequestFacts {
        is_safe: request.method().is_safe(),
        host: header(header::HOST),
        origin: header(header::ORIGIN),
        fetch_site: header(header::HeaderName::from_static("sec-fetch-site")),
        authorization: header(header::AUTHORIZATION),
    };
    let judged = guard.map_or(Err(Refusal::Unauthorized), |guard| guard.judge(facts));
    match judged {
        Ok(()) => next.call(request).await,
        Err(refusal) => {
            let status = match refusal {
                Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
                Refusal::ForeignHost | Refusal::CrossOrigin => StatusCode::FORBIDDEN,
            };
            Err(ApiError::new(status, refusal.message()).into())
        }
    }
}
