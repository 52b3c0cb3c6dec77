//! A running job over HTTP: how it gets on, and what it is to do. Paths and JSON are Flink's where Flink has them.
//!
//! | request | does |
//! |---|---|
//! | `GET /jobs/overview` | the job in a line, under its name |
//! | `GET /jobs/{job}` | its operators, their subtasks, and what they spend their time on |
//! | `PATCH /jobs/{job}?mode=cancel` | ends it at once |
//! | `POST /jobs/{job}/stop` | stops it with a savepoint; with `{"savepoint": false}`, with a last checkpoint |
//! | `GET /jobs/{job}/exceptions` | what has failed in it |
//! | `GET /jobs/{job}/vertices/{vertex}/backpressure` | how much subtasks wait for room in their links |
//! | `GET /jobs/{job}/checkpoints` | counts, a summary, the latest ones, and the history |
//! | `POST /jobs/{job}/checkpoints` | takes a checkpoint |
//! | `GET /jobs/{job}/checkpoints/{trigger}` | how far that request is |
//! | `GET /jobs/{job}/checkpoints/config` | how checkpoints are taken |
//! | `GET /jobs/{job}/checkpoints/details/{checkpoint}` | one of them, by operator |
//! | `GET /jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}` | and by subtask |
//! | `POST /jobs/{job}/savepoints` | takes a savepoint |
//! | `GET /jobs/{job}/savepoints/{trigger}` | how far that request, or a stop, is |
//! | `POST /savepoint-disposal` | removes a savepoint: `{"savepoint-path": "…"}` |
//! | `GET /savepoint-disposal/{trigger}` | how far that request is |
//! | `GET /metrics` | all metrics as Prometheus text |
//!
//! The job's name is its id, and the id of an operator is that of its vertex. Where something takes a while, the answer is
//! the id of the request, as in Flink. With `?wait=true`, which Flink has not, the answer is the outcome: a job that was
//! asked to stop ends as soon as that is sent, and nobody is left to be asked later.
//!
//! # Who may ask
//!
//! Every request passes the guard first, which knows neither sockets nor clocks. A server that only this machine can reach
//! answers to the names of this machine only, so that no page can reach it by a name of its own (DNS rebinding). A page of
//! another origin can change nothing. If there is a token, every request must bear it, and without one only a loopback
//! address is taken.
//!
//! # Its life
//!
//! The address is taken before the job starts. The server has a thread of its own and one worker, and no handler blocks.
//! When the job has come to its end, the server sends what it still has to answer, for two seconds at most, and ends.
//! Connections, bodies, and requests under way have bounds, in `settings`.

mod api_error;
mod bearer_token;
mod checkpoint_json;
mod checkpoints;
mod disposal;
mod guard;
mod job_json;
mod jobs;
mod routes;
mod running_server;
mod savepoints;
mod served_job;
mod service;
mod settings;
mod trigger;
mod trigger_registry;

pub use bearer_token::BearerToken;
pub use running_server::{BoundServer, RunningServer};
pub use served_job::ServedJob;
pub use settings::ServerSettings;
