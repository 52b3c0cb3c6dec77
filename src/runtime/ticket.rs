//! What comes of a request, once it is known.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use crate::error::{Error, ErrorKind, Result};

/// The outcome of a request to a running job. It can be waited for on a thread, or awaited; dropped, it takes nothing
/// back.
#[derive(Debug)]
pub struct Ticket<T>(oneshot::Receiver<Result<T>>);

/// Whoever answers a [`Ticket`]. Dropped without an answer, it says that the job has ended.
pub(super) type Answer<T> = oneshot::Sender<Result<T>>;

impl<T> Ticket<T> {
    pub(super) fn new() -> (Answer<T>, Self) {
        let (answer, receiver) = oneshot::channel();
        (answer, Self(receiver))
    }

    /// Waits for the outcome. Blocks the thread: not to be called on one that runs futures, which awaits the ticket.
    ///
    /// # Errors
    /// Why there is none; [`ErrorKind::Environment`] when the job has ended before.
    pub fn wait(self) -> Result<T> {
        self.0.blocking_recv().unwrap_or_else(job_has_ended)
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let outcome = Pin::new(&mut self.0).poll(context);
        outcome.map(|outcome| outcome.unwrap_or_else(job_has_ended))
    }
}

fn job_has_ended<T>(_: RecvError) -> Result<T> {
    Err(Error::new(
        ErrorKind::Environment,
        "the job has ended, nothing came of the request",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_answered_once_and_says_when_nobody_is_left_to_answer() {
        let (answer, ticket) = Ticket::new();
        assert!(answer.send(Ok(7)).is_ok());
        assert_eq!(ticket.wait().unwrap(), 7);
        let (answer, ticket) = Ticket::<u8>::new();
        drop(answer);
        let error = ticket.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment);
    }

    #[test]
    fn a_ticket_can_be_awaited() {
        let (answer, ticket) = Ticket::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let awaited = runtime.unwrap().block_on(async move {
            let (_, awaited) = tokio::join!(async { answer.send(Ok("done")) }, ticket);
            awaited
        });
        assert_eq!(awaited.unwrap(), "done");
    }
}
