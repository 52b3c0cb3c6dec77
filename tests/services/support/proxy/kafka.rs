//! A proxy for the protocol of Kafka.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use super::rule::{Closed, Passing, Proxy, SharedRule, close, on_a_thread};

/// The calls whose answers name brokers by their addresses: metadata, and who coordinates something.
const CALLS_WITH_ADDRESSES: [&str; 2] = ["3", "10"];

/// Stands before the broker at this address, `host:port`. Clients are told that the proxy is the broker.
pub(crate) fn kafka_proxy(broker: &str) -> Proxy {
    Proxy::new(broker.parse().unwrap(), |client, broker, own, rule| {
        let Ok(upstream) = TcpStream::connect(broker) else {
            return close(&client);
        };
        let connection = Connection {
            addresses: (address_bytes(broker), address_bytes(own)),
            calls: Arc::default(),
            rule,
        };
        let (answers, [from, to]) = (connection.clone(), both(&upstream, &client));
        on_a_thread(move || answers.relay_answers(from, to));
        let [from, to] = both(&client, &upstream);
        connection.relay_requests(from, to);
    })
}

/// What the two directions of a connection share.
#[derive(Clone)]
struct Connection {
    /// How the broker's address stands in an answer, and what the proxy puts in its place.
    addresses: (Vec<u8>, Vec<u8>),
    /// The calls that wait for an answer, by the number that ties them to it.
    calls: Arc<Mutex<BTreeMap<[u8; 4], String>>>,
    rule: SharedRule,
}

impl Connection {
    fn relay_requests(&self, mut from: TcpStream, mut to: TcpStream) {
        while self.relay_request(&mut from, &mut to).is_ok() {}
        close(&from);
        close(&to);
    }

    fn relay_answers(&self, mut from: TcpStream, mut to: TcpStream) {
        while self.relay_answer(&mut from, &mut to).is_ok() {}
        close(&from);
        close(&to);
    }

    fn relay_request(&self, from: &mut TcpStream, to: &mut TcpStream) -> Result<(), Closed> {
        let bytes = read_frame(from)?;
        let call: [u8; 2] = part(&bytes, 4)?;
        let call = u16::from_be_bytes(call).to_string();
        self.calls
            .lock()
            .unwrap()
            .insert(part(&bytes, 8)?, call.clone());
        let passing = Passing {
            is_answer: false,
            call: &call,
            bytes: &bytes,
        };
        self.rule.pass(&passing, to, from)
    }

    fn relay_answer(&self, from: &mut TcpStream, to: &mut TcpStream) -> Result<(), Closed> {
        let mut bytes = read_frame(from)?;
        let tie: [u8; 4] = part(&bytes, 4)?;
        let call = self.calls.lock().unwrap().remove(&tie).ok_or(Closed)?;
        if CALLS_WITH_ADDRESSES.contains(&call.as_str()) {
            replace(&mut bytes, &self.addresses.0, &self.addresses.1);
        }
        let passing = Passing {
            is_answer: true,
            call: &call,
            bytes: &bytes,
        };
        let mut client = to.try_clone().map_err(|_| Closed)?;
        self.rule.pass(&passing, to, &mut client)
    }
}

/// Some bytes of a frame, from this one on.
fn part<const LENGTH: usize>(frame: &[u8], from: usize) -> Result<[u8; LENGTH], Closed> {
    let bytes = frame.get(from..from + LENGTH).ok_or(Closed)?;
    bytes.try_into().map_err(|_| Closed)
}

/// A second handle on each of two connections.
fn both(one: &TcpStream, other: &TcpStream) -> [TcpStream; 2] {
    [one, other].map(|stream| stream.try_clone().unwrap())
}

/// A request or an answer: its length in four bytes, and so many more.
fn read_frame(from: &mut TcpStream) -> Result<Vec<u8>, Closed> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).map_err(|_| Closed)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..]).map_err(|_| Closed)?;
    Ok(frame)
}

/// How a host and a port stand in an answer, whatever comes before the host.
pub(in crate::support) fn address_bytes(address: SocketAddr) -> Vec<u8> {
    let mut bytes = address.ip().to_string().into_bytes();
    bytes.extend(u32::from(address.port()).to_be_bytes());
    bytes
}

/// Replaces every occurrence of some bytes by as many others.
pub(in crate::support) fn replace(bytes: &mut [u8], find: &[u8], put: &[u8]) {
    let mut at = 0;
    while at + find.len() <= bytes.len() {
        if bytes[at..].starts_with(find) {
            bytes[at..at + put.len()].copy_from_slice(put);
        }
        at += 1;
    }
}
