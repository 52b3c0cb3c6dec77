//! What somebody outside asks of a stepped attempt and waits for, and what is to be known of one that has failed.

use super::attempt::SteppedAttempt;
use crate::coordinator::AttemptFailure;
use crate::model::CheckpointId;
use crate::runtime::request::{
    CompletedCheckpoint, CompletedStop, Request, SavepointRequest, StopRequest,
};
use crate::runtime::ticket::Ticket;

impl SteppedAttempt {
    /// Asks for a savepoint.
    pub(crate) fn take_savepoint(
        &mut self,
        request: SavepointRequest,
    ) -> Ticket<CompletedCheckpoint> {
        let (answer, ticket) = Ticket::new();
        self.request(Request::Savepoint(request, answer));
        ticket
    }

    /// Asks the job to stop.
    pub(crate) fn stop(&mut self, request: StopRequest) -> Ticket<CompletedStop> {
        let (answer, ticket) = Ticket::new();
        self.request(Request::Stop(request, answer));
        ticket
    }

    /// How an attempt failed that has, and the id that its next checkpoint would have had.
    pub(crate) fn into_attempt_failure(
        self,
        has_progressed: bool,
    ) -> Option<(AttemptFailure, CheckpointId)> {
        let end_requested = self.end_requested();
        let end = self.into_end()?;
        let failure = AttemptFailure {
            has_run: end.has_run,
            has_progressed,
            end_requested,
            ..AttemptFailure::at_the_start(end.failure?)
        };
        Some((failure, end.next_id))
    }
}
