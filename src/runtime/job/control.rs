//! What controls a running job, from outside.

use actix::Addr;

use crate::runtime::coordinator_actor::CoordinatorActor;
use crate::runtime::request::{
    CompletedCheckpoint, CompletedStop, Request, SavepointRequest, StopRequest,
};
use crate::runtime::ticket::Ticket;

/// Controls a running job, from any thread. Once the job has ended, nothing that is asked for has an effect, and the
/// tickets say so.
#[derive(Clone)]
pub struct JobControl(pub(super) Addr<CoordinatorActor>);

impl JobControl {
    /// Asks for a checkpoint now.
    pub fn checkpoint(&self) -> Ticket<CompletedCheckpoint> {
        let (answer, ticket) = Ticket::new();
        self.0.do_send(Request::Checkpoint(answer));
        ticket
    }

    /// Asks for a savepoint now: a self-contained snapshot that belongs to whoever asks. The job commits nothing outside
    /// on account of it, and goes on.
    pub fn savepoint(&self, request: SavepointRequest) -> Ticket<CompletedCheckpoint> {
        let (answer, ticket) = Ticket::new();
        self.0.do_send(Request::Savepoint(request, answer));
        ticket
    }

    /// Asks the job to stop with a last checkpoint, from which it can be resumed. The ticket is answered when everything
    /// up to it is committed. When a savepoint is asked for and its directory cannot be used, the job goes on.
    pub fn stop(&self, request: StopRequest) -> Ticket<CompletedStop> {
        let (answer, ticket) = Ticket::new();
        self.0.do_send(Request::Stop(request, answer));
        ticket
    }

    /// Asks the job to end at once; it can be resumed from its newest checkpoint.
    pub fn cancel(&self) {
        self.0.do_send(Request::Cancel);
    }
}
