//! A section of what was in flight; the format is in the documentation of [`crate::snapshot`].

use bytes::Bytes;

use super::codec::BatchCodec;
use crate::channel::InFlight;
use crate::error::{Error, ErrorKind, Result};
use crate::model::EventTime;

const MAGIC: [u8; 4] = *b"FMif";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;
const BATCH: u8 = 0;
const WATERMARK: u8 = 1;

/// The section of what was in flight on one link.
///
/// # Errors
/// Those of the codec.
pub fn encode_section(elements: Vec<InFlight>, codec: &dyn BatchCodec) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&(elements.len() as u64).to_le_bytes());
    for element in elements {
        match element {
            InFlight::Batch(batch) => {
                let encoded = codec.encode(batch)?;
                bytes.push(BATCH);
                bytes.extend_from_slice(&(encoded.len() as u64).to_le_bytes());
                bytes.extend_from_slice(&encoded);
            }
            InFlight::Watermark(watermark) => {
                bytes.push(WATERMARK);
                bytes.extend_from_slice(&watermark.0.to_le_bytes());
            }
        }
    }
    Ok(bytes.into())
}

/// What was in flight, in its order.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the bytes are no section; those of the codec.
pub fn decode_section(section: &[u8], codec: &dyn BatchCodec) -> Result<Vec<InFlight>> {
    let (header, mut rest) = section
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| corrupt("it is shorter than its header"))?;
    let [m0, m1, m2, m3, v0, v1, _, _, count @ ..] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(corrupt("it is something else"));
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version != VERSION {
        return Err(corrupt(&format!(
            "it is in version {version} of its format, and this version of floodmark reads {VERSION}"
        )));
    }
    let mut elements = Vec::new();
    for _ in 0..u64::from_le_bytes(count) {
        let (&kind, after) = rest.split_first().ok_or_else(|| corrupt(TOO_SHORT))?;
        let (number, after) = after
            .split_first_chunk::<8>()
            .ok_or_else(|| corrupt(TOO_SHORT))?;
        match kind {
            BATCH => {
                let length = usize::try_from(u64::from_le_bytes(*number)).unwrap_or(usize::MAX);
                let (encoded, after) = after
                    .split_at_checked(length)
                    .ok_or_else(|| corrupt(TOO_SHORT))?;
                elements.push(InFlight::Batch(codec.decode(encoded)?));
                rest = after;
            }
            WATERMARK => {
                let time = i64::from_le_bytes(*number);
                elements.push(InFlight::Watermark(EventTime(time)));
                rest = after;
            }
            kind => return Err(corrupt(&format!("it holds an element of kind {kind}"))),
        }
    }
    match rest.len() {
        0 => Ok(elements),
        left => Err(corrupt(&format!("{left} bytes follow the last element"))),
    }
}

const TOO_SHORT: &str = "it ends before its last element";

fn corrupt(problem: &str) -> Error {
    let message = format!("a section of what was in flight cannot be read: {problem}");
    Error::new(ErrorKind::Corrupt, message)
}
