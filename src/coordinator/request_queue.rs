//! Requests for checkpoints that wait for their turn.

use std::collections::BTreeMap;

/// How many requests can wait; Flink's bound.
pub(super) const REQUESTS_MAX: usize = 1000;

/// Which request this is. Whoever asks numbers its requests, and is answered by the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What is asked for, the more urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// A savepoint. It does not wait for checkpoints that are pending.
    Savepoint,
    /// A checkpoint.
    Checkpoint,
}

/// The requests that wait, in Flink's order: savepoints before checkpoints, and of one kind the oldest first. Periodic
/// checkpoints come after all of them, and are not in here: they are due by the schedule until they are triggered, so
/// they never take the room of somebody's request.
#[derive(Debug, Default)]
pub(super) struct RequestQueue {
    waiting: BTreeMap<(RequestKind, u64), RequestId>,
    /// How many requests there have been: later ones have greater numbers.
    seen: u64,
}

impl RequestQueue {
    /// Lets the request wait. Returns whether there is room: a new request never drives out one that waits already.
    pub(super) fn push(&mut self, request: RequestId, kind: RequestKind) -> bool {
        let has_room = self.waiting.len() < REQUESTS_MAX;
        if has_room {
            self.seen += 1;
            self.waiting.insert((kind, self.seen), request);
        }
        has_room
    }

    /// Takes out the oldest request of a kind.
    pub(super) fn pop(&mut self, kind: RequestKind) -> Option<RequestId> {
        let (&key, _) = self.waiting.range((kind, 0)..).next()?;
        (key.0 == kind).then(|| self.waiting.remove(&key))?
    }

    /// Whether a request of this kind waits.
    pub(super) fn has(&self, kind: RequestKind) -> bool {
        let next = self.waiting.range((kind, 0)..).next();
        next.is_some_and(|(key, _)| key.0 == kind)
    }

    /// Takes out all requests, in order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = RequestId> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RequestKind::{Checkpoint, Savepoint};

    #[test]
    fn savepoints_go_first_and_of_one_kind_the_oldest() {
        let mut queue = RequestQueue::default();
        for (request, kind) in [
            (1, Checkpoint),
            (2, Savepoint),
            (3, Checkpoint),
            (4, Savepoint),
        ] {
            assert!(queue.push(RequestId(request), kind));
        }
        assert_eq!(queue.pop(Checkpoint), Some(RequestId(1)));
        let rest: Vec<_> = queue.take_all().collect();
        assert_eq!(rest, [RequestId(2), RequestId(4), RequestId(3)]);
        assert!(!queue.has(Savepoint) && !queue.has(Checkpoint));
        assert_eq!(queue.pop(Savepoint), None);
    }

    #[test]
    fn a_full_queue_refuses_the_newest_request() {
        let mut queue = RequestQueue::default();
        for request in 0..REQUESTS_MAX as u64 {
            assert!(queue.push(RequestId(request), Checkpoint));
        }
        assert!(!queue.push(RequestId(5000), Savepoint));
        assert_eq!(queue.pop(Checkpoint), Some(RequestId(0)));
        assert!(queue.push(RequestId(5001), Savepoint));
        assert_eq!(queue.pop(Savepoint), Some(RequestId(5001)));
    }
}
