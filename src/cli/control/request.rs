//! `floodmark checkpoint`, `savepoint`, `stop` and `cancel`

use serde_json::{Value, json};

use super::client::Client;
use super::target::Target;
use crate::cli::control_arguments::{
    AnswerArguments, ControlArguments, LookArguments, SavepointArguments, StopArguments,
};
use crate::cli::output::{print, print_json};
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::TerminalLine;

/// Takes a checkpoint of a running job.
pub(in crate::cli) fn checkpoint(
    arguments: &ControlArguments,
    token: Option<&str>,
    line: &TerminalLine,
) -> Result<()> {
    let request = Request {
        path: "/checkpoints",
        body: json!({}),
        what: "checkpoint",
        waits_for: "taking a checkpoint",
    };
    request.send(arguments, token, line)
}

/// Takes a savepoint of a running job.
pub(in crate::cli) fn savepoint(
    job: &str,
    arguments: &SavepointArguments,
    token: Option<&str>,
    line: &TerminalLine,
) -> Result<()> {
    let request = Request {
        path: "/savepoints",
        body: json!({ "target-directory": arguments.directory }),
        what: "savepoint",
        waits_for: "taking a savepoint",
    };
    request.send_to(job, &arguments.answer, token, line)
}

/// Stops a running job, with a savepoint if that is asked for.
pub(in crate::cli) fn stop(
    arguments: &StopArguments,
    token: Option<&str>,
    line: &TerminalLine,
) -> Result<()> {
    let takes_savepoint = arguments.savepoint.is_some();
    let directory = arguments.savepoint.as_ref().and_then(Option::as_ref);
    let request = Request {
        path: "/stop",
        body: json!({
            "savepoint": takes_savepoint,
            "targetDirectory": directory,
            "drain": arguments.drain,
        }),
        what: match takes_savepoint {
            true => "stopped with savepoint",
            false => "stopped with checkpoint",
        },
        waits_for: "stopping",
    };
    request.send(&arguments.control, token, line)
}

/// Ends a running job at once.
pub(in crate::cli) fn cancel(arguments: &LookArguments, token: Option<&str>) -> Result<()> {
    let client = Client::connect(Target::find(&arguments.job, token)?)?;
    client.cancel()?;
    match arguments.json {
        true => print_json(&json!({ "job": client.job() })),
        false => print(&format!(
            "job {} ends without a last checkpoint",
            client.job()
        )),
    }
}

/// Something that is asked of a job and takes a while.
struct Request {
    path: &'static str,
    body: Value,
    what: &'static str,
    waits_for: &'static str,
}

impl Request {
    fn send(
        &self,
        arguments: &ControlArguments,
        token: Option<&str>,
        line: &TerminalLine,
    ) -> Result<()> {
        self.send_to(&arguments.job, &arguments.answer, token, line)
    }

    fn send_to(
        &self,
        job: &str,
        answer: &AnswerArguments,
        token: Option<&str>,
        line: &TerminalLine,
    ) -> Result<()> {
        let client = Client::connect(Target::find(job, token)?)?;
        if answer.detached {
            let begun = client.ask(self.path, &self.body)?;
            return match answer.json {
                true => print_json(&begun),
                false => print(&format!(
                    "job {}: request {} is under way",
                    client.job(),
                    text(&begun["request-id"])
                )),
            };
        }
        line.show(format!("job {}: {}", client.job(), self.waits_for));
        let decided = client.ask(&format!("{}?wait=true", self.path), &self.body);
        line.clear();
        let decided = decided?;
        let operation = &decided["operation"];
        if let Some(reason) = operation["failure-cause"]["stack-trace"].as_str() {
            let message = format!("job {}: {reason}", client.job());
            return Err(Error::new(ErrorKind::Environment, message));
        }
        match answer.json {
            true => print_json(operation),
            false => print(&format!(
                "job {}: {} {} in {}",
                client.job(),
                self.what,
                operation["checkpointId"],
                text(&operation["location"])
            )),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
