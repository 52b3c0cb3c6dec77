//! A job whose Kafka broker is away, or does not let it in.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use floodmark::config::JobFile;
use floodmark::engine::{Engine, EngineSettings, JobHandle, JobOutcome};
use floodmark::error::ErrorKind;
use floodmark::graph;

/// Starts a job that reads from the broker at `address`.
fn start(folder: &Path, address: &str, settings: &str) -> JobHandle {
    let text = format!(
        "[job]
        name = 'waiting'
        parallelism = 2
        [checkpoint]
        storage = '{}'
        [restart]
        strategy = 'none'
        [[source]]
        id = 'in'
        type = 'kafka'
        brokers = '{address}'
        topics = ['in']
        format = 'json'
        columns = {{ value = 'string' }}
        group_id = 'waiting'
        kafka = {{ {settings} }}
        [[sink]]
        id = 'out'
        type = 'blackhole'
        input = 'in'
        ",
        folder.display()
    );
    let file = JobFile::parse("job.toml", &text).unwrap();
    let graph = graph::build(&file).unwrap();
    let engine = Engine::new(graph, EngineSettings::from(&file));
    engine.start().unwrap()
}

#[test]
fn a_job_whose_broker_is_away_stays_alive_and_takes_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    for _ in 0..2 {
        // The second time it goes on from a checkpoint that knows nothing of the topic yet.
        let job = start(folder.path(), &nobody, "");
        for _ in 0..3 {
            job.checkpoint().wait().unwrap();
        }
        job.cancel();
        assert!(matches!(job.wait(), JobOutcome::Cancelled));
    }
}

#[test]
fn wrong_credentials_end_the_job_at_once_and_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::Builder::new()
        .spawn(move || {
            listener
                .incoming()
                .for_each(|client| refuse(client.unwrap()))
        })
        .unwrap();
    let settings =
        "security.protocol = 'sasl_plaintext', sasl.mechanism = 'PLAIN', sasl.username = 'reader',
        sasl.password = 'hunter2'";
    let job = start(folder.path(), &address, settings);
    let error = job.wait().into_result().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let message = error.full_message();
    assert!(message.contains("connect to kafka"), "{message}");
    assert!(message.contains("no such user"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

/// A broker that lets nobody in: it answers what a client says until it has given its password.
fn refuse(mut client: TcpStream) {
    while let Some((api, answer)) = next_request(&mut client) {
        let body = match api {
            API_VERSIONS => versions(),
            SASL_HANDSHAKE => [&[0, 0, 0, 0, 0, 1][..], &text("PLAIN")].concat(),
            // SASL_AUTHENTICATION_FAILED, what it is about, and no token.
            SASL_AUTHENTICATE => [&[0, 58][..], &text("no such user"), &[0; 4]].concat(),
            _ => return,
        };
        let answer = [&answer[..], &body].concat();
        let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
        // The client may have gone.
        if client.write_all(&[&length[..], &answer].concat()).is_err() {
            return;
        }
    }
}

const SASL_HANDSHAKE: u8 = 17;
const API_VERSIONS: u8 = 18;
const SASL_AUTHENTICATE: u8 = 36;

/// What the next request asks for, and the number that its answer begins with.
fn next_request(client: &mut TcpStream) -> Option<(u8, [u8; 4])> {
    let mut length = [0; 4];
    client.read_exact(&mut length).ok()?;
    let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    client.read_exact(&mut request).ok()?;
    Some((request[1], request[4..8].try_into().unwrap()))
}

/// The requests that this broker knows, each with its first and last version, in the third version of the answer.
fn versions() -> Vec<u8> {
    let known = [
        (API_VERSIONS, 3),
        (SASL_HANDSHAKE, 1),
        (SASL_AUTHENTICATE, 0),
    ];
    let mut body = vec![0, 0, known.len() as u8 + 1];
    for (api, last) in known {
        body.extend([0, api, 0, 0, 0, last, 0]);
    }
    body.extend([0; 5]);
    body
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}
