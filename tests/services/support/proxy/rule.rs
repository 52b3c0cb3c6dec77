//! What a proxy is told to do with what passes through it.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    /// Host and port for clients.
    pub(crate) address: String,
    rule: SharedRule,
}

/// A request or an answer, on its way.
pub(crate) struct Passing<'a> {
    pub(crate) is_answer: bool,
    /// What is asked, of the answer too: `PUT /bucket/name` over HTTP, the number of a call to Kafka.
    pub(crate) call: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// What becomes of it.
pub(crate) enum Fate {
    Pass,
    /// It passes so much later.
    Delay(Duration),
    /// It passes when the test says so.
    Hold(Receiver<()>),
    /// It does not pass, and its connection is closed.
    Lose,
    /// Only its first half passes, and its connection is closed.
    Truncate,
    /// The client gets this for an answer, and its connection is closed.
    Answer(Vec<u8>),
}

type Rule = Box<dyn FnMut(&Passing<'_>) -> Fate + Send>;

/// The rule of a proxy, for all its connections.
#[derive(Clone)]
pub(super) struct SharedRule(Arc<Mutex<Rule>>);

/// The connection is to be closed.
#[derive(Debug)]
pub(super) struct Closed;

impl Proxy {
    /// Listens, and has each connection served on a thread of its own, with another to the server.
    pub(super) fn new(
        server: SocketAddr,
        serve: fn(TcpStream, SocketAddr, SocketAddr, SharedRule),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let rule = SharedRule(Arc::new(Mutex::new(Box::new(|_| Fate::Pass))));
        let shared = rule.clone();
        on_a_thread(move || {
            for client in listener.incoming() {
                let (client, rule) = (client.unwrap(), shared.clone());
                on_a_thread(move || serve(client, server, own, rule));
            }
        });
        Self {
            address: own.to_string(),
            rule,
        }
    }

    /// From now on this decides; before, everything passes. It can also do something on its own account: nothing passes
    /// meanwhile.
    pub(crate) fn set(&self, rule: impl FnMut(&Passing<'_>) -> Fate + Send + 'static) {
        *self.rule.0.lock().unwrap() = Box::new(rule);
    }
}

impl SharedRule {
    /// Lets something pass from one side to the other, if the rule lets it. `client` is who asked.
    pub(super) fn pass(
        &self,
        passing: &Passing<'_>,
        to: &mut TcpStream,
        client: &mut TcpStream,
    ) -> Result<(), Closed> {
        let fate = (self.0.lock().unwrap())(passing);
        let closed = |_| Closed;
        match fate {
            Fate::Pass => to.write_all(passing.bytes).map_err(closed),
            Fate::Delay(time) => {
                wait(time);
                to.write_all(passing.bytes).map_err(closed)
            }
            Fate::Hold(release) => {
                // A test that has ended releases it as well.
                let _ = release.recv();
                to.write_all(passing.bytes).map_err(closed)
            }
            Fate::Lose => Err(Closed),
            Fate::Truncate => {
                let half = &passing.bytes[..passing.bytes.len() / 2];
                to.write_all(half).map_err(closed)?;
                Err(Closed)
            }
            Fate::Answer(answer) => {
                client.write_all(&answer).map_err(closed)?;
                Err(Closed)
            }
        }
    }
}

/// Closes both directions, whoever else holds the connection.
pub(super) fn close(stream: &TcpStream) {
    // It may be closed from the other side.
    let _ = stream.shutdown(Shutdown::Both);
}

/// Threads of a proxy end with their connections, or with the test.
pub(in crate::support) fn on_a_thread(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().spawn(work).unwrap();
}

/// Lets time pass: a slow server is slow for so long.
fn wait(time: Duration) {
    let (_sender, nothing) = sync_channel::<()>(1);
    // Nobody ever sends: the end of the wait is the event.
    let _ = nothing.recv_timeout(time);
}
