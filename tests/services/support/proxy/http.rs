//! A proxy for HTTP, which a store of objects speaks.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};

use super::rule::{Closed, Passing, Proxy, SharedRule, close};

/// Stands before the server at this address, `http://host:port`.
pub(crate) fn http_proxy(endpoint: &str) -> Proxy {
    let server = endpoint.trim_start_matches("http://").parse().unwrap();
    Proxy::new(server, |mut client, server, _own, rule| {
        // Whatever went wrong, closing the connection says so.
        let _ = exchange(&mut client, server, &rule);
        close(&client);
    })
}

/// What an S3 store answers that refuses, with this status and code.
pub(crate) fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>the test says so</Message><RequestId>1</RequestId></Error>"
    );
    format!(
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One request and its answer; then the connection is closed, which spares us from finding the end of the answer.
fn exchange(client: &mut TcpStream, server: SocketAddr, rule: &SharedRule) -> Result<(), Closed> {
    let request = read_request(client)?;
    let mut upstream = TcpStream::connect(server).map_err(|_| Closed)?;
    let passing = Passing {
        is_answer: false,
        call: &request.call,
        bytes: &request.bytes,
    };
    rule.pass(&passing, &mut upstream, client)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).map_err(|_| Closed)?;
    let passing = Passing {
        is_answer: true,
        call: &request.call,
        bytes: &answer,
    };
    let mut other = client.try_clone().map_err(|_| Closed)?;
    rule.pass(&passing, client, &mut other)
}

struct Request {
    /// Method and path, without what is asked behind `?`.
    call: String,
    /// All of it, changed so that the server closes the connection behind its answer.
    bytes: Vec<u8>,
}

fn read_request(client: &TcpStream) -> Result<Request, Closed> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    let mut next_line = |reader: &mut BufReader<_>| {
        line.clear();
        match reader.read_line(&mut line) {
            Ok(length) if length > 0 => Ok(line.clone()),
            _ => Err(Closed),
        }
    };
    let first = next_line(&mut reader)?;
    let (call, _) = first.rsplit_once(" HTTP/").ok_or(Closed)?;
    let call = call.split('?').next().unwrap_or(call).to_owned();
    let mut head = first.clone();
    let mut body_length = 0;
    loop {
        let header = next_line(&mut reader)?;
        let lower = header.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            body_length = length.trim().parse().map_err(|_| Closed)?;
        }
        assert!(
            !lower.starts_with("transfer-encoding:"),
            "the proxy knows no body in chunks"
        );
        if header == "\r\n" {
            break;
        }
        // No header that is signed is touched.
        if !lower.starts_with("connection:") {
            head.push_str(&header);
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut bytes = head.into_bytes();
    let head_length = bytes.len();
    bytes.resize(head_length + body_length, 0);
    reader
        .read_exact(&mut bytes[head_length..])
        .map_err(|_| Closed)?;
    Ok(Request { call, bytes })
}
