//! Where a running job is found: by its job file, or by the address of its server.

use std::path::Path;

use crate::cli::load::load_job;
use crate::cli::serving;
use crate::error::{Error, ErrorKind, Result};
use crate::server::BearerToken;

/// Where a job's server is said to listen.
#[derive(Debug)]
pub(super) struct Target {
    /// The address, without a slash at its end: `http://127.0.0.1:8081`.
    pub(super) address: String,
    /// The job that has to be found there, if it is known.
    pub(super) job: Option<String>,
    /// What its requests must bear.
    pub(super) token: Option<BearerToken>,
}

impl Target {
    /// Finds the job that the command line names: `http://…`, or its job file.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the job file is wrong or has no server, [`ErrorKind::Environment`] when the job
    /// does not run.
    pub(super) fn find(named: &str, environment_token: Option<&str>) -> Result<Self> {
        if named.starts_with("https://") {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "{named}: only http:// is spoken here; reach a job behind TLS through a tunnel"
                ),
            ));
        }
        if named.starts_with("http://") {
            return Ok(Self {
                address: named.trim_end_matches('/').to_owned(),
                job: None,
                token: environment_token.map(BearerToken::parse).transpose()?,
            });
        }
        let job = load_job(Path::new(named))?;
        let name = &job.job.name;
        if !job.server.enabled {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("job {name} has no server: {named} sets server.enabled = false"),
            ));
        }
        let address = serving::address(&job)?;
        let address = address.ok_or_else(|| {
            let message = format!("job {name} is not running: start it with floodmark run {named}");
            Error::new(ErrorKind::Environment, message)
        })?;
        Ok(Self {
            address: format!("http://{}", address.address),
            token: serving::token(&job.server, environment_token)?,
            job: Some(name.clone()),
        })
    }

    /// The error of an attempt to reach it.
    pub(super) fn nobody_answers(&self, reason: &str) -> Error {
        let message = match &self.job {
            Some(job) => format!(
                "job {job} is not running, or has just ended: {} does not answer: {reason}",
                self.address
            ),
            None => format!("{} does not answer: {reason}", self.address),
        };
        Error::new(ErrorKind::Environment, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_it_is() {
        let target = Target::find("http://127.0.0.1:8081/", Some("0123456789abcdef")).unwrap();
        assert_eq!(target.address, "http://127.0.0.1:8081");
        assert!(target.job.is_none() && target.token.is_some());
        let error = Target::find("https://example.org", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let error = Target::find("http://127.0.0.1:8081", Some("short")).unwrap_err();
        assert!(!error.to_string().contains("short"), "{error}");
    }
}
