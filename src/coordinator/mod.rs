//! The checkpoint protocol and the job's life, as pure structs: events in, commands out.
//!
//! No clock, no thread and no input or output is in here. Every event brings the time of the job's clock with it, and
//! the actor that owns these structs carries out their commands, in order.

mod acknowledgement_figures;
mod checkpoint_coordinator;
mod checkpoint_failure;
mod checkpoint_plan;
mod command;
mod failure_counter;
mod failure_reason;
mod job_life;
mod pending_checkpoint;
mod request_queue;
mod restart;
mod schedule;
mod settings;

pub use acknowledgement_figures::AcknowledgementFigures;
pub use checkpoint_coordinator::CheckpointCoordinator;
pub use checkpoint_failure::CheckpointFailure;
pub use command::{CheckpointCommand, CheckpointKind};
pub use failure_reason::FailureReason;
pub use job_life::{JobCommand, JobFailure, JobLife, JobState};
pub use request_queue::{RequestId, RequestKind};
pub use restart::{AttemptFailure, GivenUp, RestartDecision, RestartStrategy, Restarts};
pub use settings::CheckpointSettings;
