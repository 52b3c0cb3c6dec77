//! `floodmark status`

use serde_json::json;

use super::client::Client;
use super::status_view::render;
use super::target::Target;
use crate::cli::control_arguments::LookArguments;
use crate::cli::output::{print, print_json};
use crate::error::Result;

/// Says how a running job gets on.
pub(in crate::cli) fn status(arguments: &LookArguments, token: Option<&str>) -> Result<()> {
    let client = Client::connect(Target::find(&arguments.job, token)?)?;
    let details = client.look("")?;
    let checkpoints = client.look("/checkpoints")?;
    match arguments.json {
        true => print_json(&json!({ "job": details, "checkpoints": checkpoints })),
        false => print(&render(&details, &checkpoints)),
    }
}
