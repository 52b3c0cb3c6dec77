//! The commands that control a running job, over HTTP: where it is found, how it is asked, what is shown.

mod client;
mod request;
mod status;
mod status_view;
mod target;

pub(super) use request::{cancel, checkpoint, savepoint, stop};
pub(super) use status::status;
