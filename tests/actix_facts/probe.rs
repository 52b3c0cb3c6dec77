//! An actor that notes what happens to it, and does what a test tells it.

use std::future::Future;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use tokio::sync::oneshot;

/// What a probe did, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Handled(u32),
    OwnFuture,
    Timer,
    Stopped,
}

/// The events of one or more probes.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    pub(crate) fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// An actor that notes all that happens to it, and that a test can make do anything.
pub(crate) struct Probe {
    pub(crate) log: Log,
    capacity: usize,
    /// Dropped with the actor: this is how a test waits for the actor's end.
    _ended: Option<oneshot::Sender<()>>,
}

impl Probe {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            capacity: 16,
            _ended: None,
        }
    }

    /// A probe whose mailbox has this capacity from its first message on.
    pub(crate) fn with_capacity(log: &Log, capacity: usize) -> Self {
        Self {
            capacity,
            ..Self::new(log)
        }
    }

    /// A probe, and a receiver that is closed when the probe is dropped.
    pub(crate) fn with_end(log: &Log) -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let probe = Self {
            _ended: Some(sender),
            ..Self::new(log)
        };
        (probe, receiver)
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(self.capacity);
    }

    fn stopped(&mut self, _context: &mut Self::Context) {
        self.log.push(Event::Stopped);
    }
}

/// Is noted in the log.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Note(pub(crate) u32);

impl Handler<Note> for Probe {
    type Result = ();

    fn handle(&mut self, note: Note, _context: &mut Self::Context) {
        self.log.push(Event::Handled(note.0));
    }
}

type Body = dyn FnOnce(&mut Probe, &mut Context<Probe>) + Send;

/// Runs a closure in the handler.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Call(Box<Body>);

impl Call {
    pub(crate) fn new(body: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) -> Self {
        Self(Box::new(body))
    }
}

impl Handler<Call> for Probe {
    type Result = ();

    fn handle(&mut self, call: Call, context: &mut Self::Context) {
        (call.0)(self, context);
    }
}

/// Runs `body` in an actix system of its own.
pub(crate) fn in_system<T>(body: impl Future<Output = T>) -> T {
    System::new().block_on(body)
}

pub(crate) fn notes(range: std::ops::Range<u32>) -> Vec<Event> {
    range.map(Event::Handled).collect()
}
