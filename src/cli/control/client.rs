//! A client of a job's server.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::target::Target;
use crate::error::{Error, ErrorKind, Result};
use crate::server::BearerToken;

/// How long a job may take to take up a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take that says how the job gets on.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Asks the server of one job.
pub(super) struct Client {
    agent: Agent,
    target: Target,
    /// The job's name, as the server knows it.
    job: String,
}

impl Client {
    /// A client of the server at `target`, once that has said which job it serves.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when nobody answers, because the job does not run; [`ErrorKind::Conflict`] when it is
    /// another job that answers.
    pub(super) fn connect(target: Target) -> Result<Self> {
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            // A proxy is for what lies outside.
            .proxy(None)
            .user_agent("floodmark")
            .build();
        let mut client = Self {
            agent: config.new_agent(),
            target,
            job: String::new(),
        };
        let overview = client.get("/jobs/overview")?;
        let served = overview["jobs"][0]["name"].as_str();
        let served = served.ok_or_else(|| client.makes_no_sense("it does not name its job"))?;
        if let Some(expected) = &client.target.job
            && expected != served
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} serves job {served}: job {expected} is not running",
                    client.target.address
                ),
            ));
        }
        client.job = served.to_owned();
        Ok(client)
    }

    /// The job's name.
    pub(super) fn job(&self) -> &str {
        &self.job
    }

    /// What the server says about the job at `path`, which begins with a slash or is empty.
    ///
    /// # Errors
    /// As [`Client::connect`], or what the server says against it.
    pub(super) fn look(&self, path: &str) -> Result<Value> {
        self.get(&format!("/jobs/{}{path}", self.job))
    }

    /// Asks for something, and waits as long as the answer takes.
    ///
    /// # Errors
    /// As [`Client::connect`], or what the server says against it.
    pub(super) fn ask(&self, path: &str, body: &Value) -> Result<Value> {
        let url = self.url(&format!("/jobs/{}{path}", self.job));
        let request = self
            .agent
            .post(&url)
            .header("content-type", "application/json");
        let request = match self.authorization() {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        self.answer(request.send(&body.to_string()))
    }

    /// Tells the job to end at once.
    ///
    /// # Errors
    /// As [`Client::connect`], or what the server says against it.
    pub(super) fn cancel(&self) -> Result<Value> {
        let url = self.url(&format!("/jobs/{}?mode=cancel", self.job));
        let request = self.agent.patch(&url);
        let request = match self.authorization() {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        self.answer(request.send_empty())
    }

    fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(self.url(path));
        let request = match self.authorization() {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        let request = request.config().timeout_global(Some(LOOK_TIMEOUT)).build();
        self.answer(request.call())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.target.address)
    }

    fn authorization(&self) -> Option<String> {
        self.target.token.as_ref().map(BearerToken::authorization)
    }

    fn answer(&self, answer: Result<Response<Body>, ureq::Error>) -> Result<Value> {
        let answer = answer.map_err(|error| self.target.nobody_answers(&error.to_string()))?;
        let status = answer.status();
        let text = answer
            .into_body()
            .into_with_config()
            .limit(ANSWER_BYTES_MAX);
        let text = text
            .read_to_string()
            .map_err(|error| self.target.nobody_answers(&error.to_string()))?;
        let value: Result<Value, _> = serde_json::from_str(&text);
        if status.is_success() {
            return value.map_err(|error| self.makes_no_sense(&error.to_string()));
        }
        let said = value.ok().and_then(|value| {
            let said = value["errors"][0].as_str();
            said.map(str::to_owned)
        });
        let said = said.unwrap_or_else(|| status.to_string());
        if status == StatusCode::UNAUTHORIZED {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "{} wants a token: set server.token_file in the job file, or the environment variable \
                     FLOODMARK_TOKEN",
                    self.target.address
                ),
            ));
        }
        Err(Error::new(ErrorKind::Environment, said))
    }

    fn makes_no_sense(&self, reason: &str) -> Error {
        let message = format!(
            "{} does not answer as a job of floodmark does: {reason}",
            self.target.address
        );
        Error::new(ErrorKind::Environment, message)
    }
}
