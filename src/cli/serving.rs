//! The server beside a job that `run` starts.

use super::connections::store_location;
use crate::config::{JobFile, ServerSection};
use crate::engine::JobHandle;
use crate::error::{Error, ErrorKind, Result};
use crate::model::SystemClock;
use crate::server::{BearerToken, BoundServer, RunningServer, ServedJob, ServerSettings};
use crate::storage::{AddressFile, ServerAddress};
use crate::telemetry::PrometheusText;

/// A server that is ready before its job is started.
pub(super) struct ReadyServer {
    bound: BoundServer,
    metrics: PrometheusText,
}

/// A server that answers, and the file that leads to it. Dropped, both end.
pub(super) struct Serving {
    // The file goes first: nobody new is to find a server that is about to end.
    _file: AddressFile,
    _server: RunningServer,
}

/// The token that requests must bear: that of the file, or that of the environment.
///
/// # Errors
/// [`ErrorKind::Configuration`] when it cannot be read or is none. No message shows it.
pub(super) fn token(
    section: &ServerSection,
    environment_token: Option<&str>,
) -> Result<Option<BearerToken>> {
    let (text, named) = match (&section.token_file, environment_token) {
        (Some(path), _) => {
            let named = format!("server.token_file: {}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| {
                Error::new(ErrorKind::Configuration, format!("{named}: read it")).with_source(error)
            })?;
            (text, named)
        }
        (None, Some(text)) => (text.to_owned(), "FLOODMARK_TOKEN".to_owned()),
        (None, None) => return Ok(None),
    };
    let token = BearerToken::parse(&text).map_err(|error| error.context(named))?;
    Ok(Some(token))
}

/// The settings of the job's server; nothing when it is to have none.
///
/// # Errors
/// [`ErrorKind::Configuration`] when others could reach it and there is no token.
pub(super) fn settings(
    section: &ServerSection,
    environment_token: Option<&str>,
) -> Result<Option<ServerSettings>> {
    if !section.enabled {
        return Ok(None);
    }
    let token = token(section, environment_token)?;
    ServerSettings::new(section.address, token).map(Some)
}

/// Takes the address of the job's server, and keeps the metrics from now on. Call it before the job is started.
///
/// # Errors
/// As [`settings`]; [`ErrorKind::Environment`] when the address cannot be had.
pub(super) fn prepare(
    job: &JobFile,
    environment_token: Option<&str>,
) -> Result<Option<ReadyServer>> {
    let settings = settings(&job.server, environment_token)?;
    settings.map(ready).transpose()
}

fn ready(settings: ServerSettings) -> Result<ReadyServer> {
    Ok(ReadyServer {
        bound: BoundServer::bind(settings)?,
        metrics: PrometheusText::install()?,
    })
}

impl ReadyServer {
    /// Begins to answer for the job that has been started.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when its thread or its file cannot be made.
    pub(super) fn serve(self, job: &JobFile, handle: &JobHandle) -> Result<Serving> {
        let address = ServerAddress {
            address: self.bound.address(),
            process: std::process::id(),
        };
        let served = ServedJob::new(handle, job.checkpoint.clone(), SystemClock::shared());
        let server = self.bound.serve(served, Some(self.metrics))?;
        let file = AddressFile::write(&store_location(job)?, &job.job.name, &address)?;
        tracing::debug!(address = %address.address, "the job can be watched and controlled");
        Ok(Serving {
            _file: file,
            _server: server,
        })
    }
}

/// Where the server of a running job listens; nothing when the job does not run.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when what its folder says makes no sense.
pub(super) fn address(job: &JobFile) -> Result<Option<ServerAddress>> {
    AddressFile::read(&store_location(job)?, &job.job.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn the_files_token_outweighs_the_environments_and_no_message_shows_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
        let none = ServerSection::default();
        let with_file = ServerSection {
            token_file: Some(path.clone()),
            ..ServerSection::default()
        };
        let bears = |section: &ServerSection, environment| {
            let token = token(section, environment).unwrap()?;
            Some(token.is_borne_by(&format!("Bearer {TOKEN}")))
        };
        assert_eq!(bears(&none, None), None);
        assert_eq!(bears(&none, Some(TOKEN)), Some(true));
        assert_eq!(bears(&with_file, Some("another-0123456789")), Some(true));
        std::fs::write(&path, "much too short").unwrap();
        let error = token(&with_file, None).unwrap_err();
        let expected = format!("server.token_file: {}: the token has 14 ", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = token(&with_file, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let error = token(&none, Some("hunter2")).unwrap_err();
        assert!(
            error.to_string().starts_with("FLOODMARK_TOKEN: "),
            "{error}"
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn a_server_that_is_switched_off_needs_no_token() {
        let mut section = ServerSection {
            enabled: false,
            address: "0.0.0.0:8081".parse().unwrap(),
            token_file: None,
        };
        assert!(settings(&section, None).unwrap().is_none());
        section.enabled = true;
        let error = settings(&section, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(settings(&section, Some(TOKEN)).unwrap().is_some());
    }
}
