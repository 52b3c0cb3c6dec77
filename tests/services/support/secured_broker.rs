//! A broker that only answers through TLS, and those only who know a password (SASL/PLAIN): a proxy before the broker of
//! the tests, which can do neither.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_native_tls::{TlsAcceptor, TlsStream};

use super::proxy::{address_bytes, on_a_thread, replace};

/// Who is let in.
pub(crate) const USER: &str = "reader";
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// The numbers of the calls that have to do with it.
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

/// What a wrong password is answered with.
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// The broker, until the test ends.
pub(crate) struct SecuredBroker {
    /// Host and port for clients.
    pub(crate) address: String,
    /// The certificate that clients are to trust.
    pub(crate) certificate: PathBuf,
    _folder: tempfile::TempDir,
}

type Client = TlsStream<TcpStream>;

/// One client's way to the broker.
struct Connection {
    to_client: tokio::sync::Mutex<WriteHalf<Client>>,
    to_broker: tokio::sync::Mutex<WriteHalf<TcpStream>>,
    /// The calls that wait for an answer: the number that ties them to it, and the version.
    calls: Mutex<BTreeMap<[u8; 4], (i16, i16)>>,
    /// How the broker's address stands in an answer, and what is put in its place.
    addresses: (Vec<u8>, Vec<u8>),
}

impl SecuredBroker {
    /// Stands before the broker at this address, `host:port`.
    pub(crate) fn before(broker: &str) -> Self {
        let (certificate, key) = certificate();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("certificate.pem");
        fs::write(&path, certificate.to_pem().unwrap()).unwrap();
        let identity = native_tls::Identity::from_pkcs8(
            &certificate.to_pem().unwrap(),
            &key.private_key_to_pem_pkcs8().unwrap(),
        );
        let acceptor = native_tls::TlsAcceptor::new(identity.unwrap()).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let own = listener.local_addr().unwrap();
        let broker = broker.parse().unwrap();
        let addresses = (address_bytes(broker), address_bytes(own));
        on_a_thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (listener, acceptor) = (
                    TcpListener::from_std(listener).unwrap(),
                    Arc::new(TlsAcceptor::from(acceptor)),
                );
                while let Ok((client, _)) = listener.accept().await {
                    let (acceptor, addresses) = (Arc::clone(&acceptor), addresses.clone());
                    tokio::spawn(async move {
                        // A client that does not trust the certificate goes away.
                        let client = acceptor.accept(client).await.ok()?;
                        let upstream = TcpStream::connect(broker).await.ok()?;
                        serve(client, upstream, addresses).await;
                        Some(())
                    });
                }
            });
        });
        Self {
            address: own.to_string(),
            certificate: path,
            _folder: folder,
        }
    }

    /// What a job has to set to be let in, as lines of its table of librdkafka's settings.
    pub(crate) fn settings(&self) -> String {
        format!(
            "security.protocol = 'SASL_SSL'\n\
             sasl.mechanism = 'PLAIN'\n\
             sasl.username = '{USER}'\n\
             sasl.password = '${{KAFKA_PASSWORD}}'\n\
             ssl.ca.location = '{}'\n",
            self.certificate.display()
        )
    }
}

/// A certificate for this machine, signed by itself, and its key.
fn certificate() -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "127.0.0.1").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    let (from, to) = (
        Asn1Time::days_from_now(0).unwrap(),
        Asn1Time::days_from_now(2).unwrap(),
    );
    builder.set_not_before(&from).unwrap();
    builder.set_not_after(&to).unwrap();
    let mut host = SubjectAlternativeName::new();
    let host = host
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None));
    builder.append_extension(host.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

async fn serve(client: Client, upstream: TcpStream, addresses: (Vec<u8>, Vec<u8>)) {
    let (from_client, to_client) = split(client);
    let (from_broker, to_broker) = split(upstream);
    let connection = Connection {
        to_client: to_client.into(),
        to_broker: to_broker.into(),
        calls: Mutex::default(),
        addresses,
    };
    // Whoever ends first ends the other as well.
    tokio::select! {
        _ = connection.relay_requests(from_client) => {}
        _ = connection.relay_answers(from_broker) => {}
    }
}

impl Connection {
    async fn relay_requests(&self, mut from: ReadHalf<Client>) -> Result<()> {
        let mut is_let_in = false;
        loop {
            let frame = read_frame(&mut from).await?;
            let (call, version) = (number(&frame, 0)?, number(&frame, 2)?);
            let tie: [u8; 4] = bytes(&frame, 4)?;
            match call {
                SASL_HANDSHAKE => {
                    // No error, and one mechanism.
                    self.answer(tie, b"\0\0\0\0\0\x01\0\x05PLAIN").await?;
                }
                SASL_AUTHENTICATE => {
                    let expected = format!("\0{USER}\0{PASSWORD}");
                    is_let_in = frame.ends_with(expected.as_bytes());
                    let error = if is_let_in {
                        0
                    } else {
                        SASL_AUTHENTICATION_FAILED
                    };
                    let mut answer = error.to_be_bytes().to_vec();
                    // No message, no bytes, no end of the session.
                    answer.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
                    answer.extend_from_slice(if version >= 1 { &[0; 8] } else { &[] });
                    self.answer(tie, &answer).await?;
                }
                _ if call != API_VERSIONS && !is_let_in => return Err(refused()),
                _ => {
                    self.calls.lock().unwrap().insert(tie, (call, version));
                    write_frame(&mut *self.to_broker.lock().await, &frame).await?;
                }
            }
        }
    }

    async fn relay_answers(&self, mut from: ReadHalf<TcpStream>) -> Result<()> {
        loop {
            let mut frame = read_frame(&mut from).await?;
            let tie: [u8; 4] = bytes(&frame, 0)?;
            let call = self.calls.lock().unwrap().remove(&tie);
            match call.ok_or_else(refused)? {
                (API_VERSIONS, version) => frame = with_sasl(&frame, version)?,
                (METADATA | FIND_COORDINATOR, _) => {
                    replace(&mut frame, &self.addresses.0, &self.addresses.1);
                }
                _ => {}
            }
            write_frame(&mut *self.to_client.lock().await, &frame).await?;
        }
    }

    async fn answer(&self, tie: [u8; 4], body: &[u8]) -> Result<()> {
        let frame = [&tie, body].concat();
        write_frame(&mut *self.to_client.lock().await, &frame).await
    }
}

/// An answer that says which calls the broker knows, with those that let a client in added.
fn with_sasl(frame: &[u8], version: i16) -> Result<Vec<u8>> {
    // Its number, an error; then the count of calls, in a form of its own from version 3 on, and six or seven bytes for each.
    let is_flexible = version >= 3;
    let (head, call_bytes) = if is_flexible { (7, 7) } else { (10, 6) };
    let count = if is_flexible {
        usize::from(*frame.get(6).ok_or_else(refused)?) - 1
    } else {
        u32::from_be_bytes(bytes(frame, 6)?) as usize
    };
    let end = head + count * call_bytes;
    let mut answer = frame.get(..end).ok_or_else(refused)?.to_vec();
    for call in [SASL_HANDSHAKE, SASL_AUTHENTICATE] {
        answer.extend(call.to_be_bytes());
        // Versions 0 and 1.
        answer.extend([0, 0, 0, 1]);
        answer.extend(is_flexible.then_some(0));
    }
    answer.extend_from_slice(&frame[end..]);
    let count = count + 2;
    if is_flexible {
        answer[6] = u8::try_from(count + 1).map_err(Error::other)?;
    } else {
        answer[6..10].copy_from_slice(&u32::try_from(count).map_err(Error::other)?.to_be_bytes());
    }
    Ok(answer)
}

async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Result<Vec<u8>> {
    let length = from.read_u32().await? as usize;
    let mut frame = vec![0; length];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(to: &mut (impl AsyncWriteExt + Unpin), frame: &[u8]) -> Result<()> {
    let length = u32::try_from(frame.len()).map_err(Error::other)?;
    to.write_all(&[&length.to_be_bytes(), frame].concat())
        .await?;
    to.flush().await
}

fn number(frame: &[u8], from: usize) -> Result<i16> {
    Ok(i16::from_be_bytes(bytes(frame, from)?))
}

fn bytes<const LENGTH: usize>(frame: &[u8], from: usize) -> Result<[u8; LENGTH]> {
    let bytes = frame.get(from..from + LENGTH).ok_or_else(refused)?;
    bytes.try_into().map_err(Error::other)
}

fn refused() -> Error {
    Error::other("the client is not let in, or says what it should not")
}
