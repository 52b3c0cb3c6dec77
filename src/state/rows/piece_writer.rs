//! Makes a delta of records that were not made by a job.

use std::collections::BTreeMap;

use super::codec::StateCodec;
use crate::error::Result;
use crate::state::descriptor::RecordFormat;
use crate::state::piece::{
    FixedShape, Footer, PieceKind, variable_record_bytes, write_variable_record,
};

/// The records of a delta: the stored key of each, and its value, or nothing when the record is deleted.
pub type DeltaRecords = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A delta that puts and deletes these records, in the format of the state.
///
/// # Errors
/// [`crate::error::ErrorKind::Corrupt`] when the state's records have a fixed size that is not known;
/// [`crate::error::ErrorKind::Data`] when a record has another size, or is larger than 4 GiB.
pub fn delta_of(codec: &StateCodec, records: &DeltaRecords) -> Result<Vec<u8>> {
    let (deletions, others): (Vec<_>, Vec<_>) =
        records.iter().partition(|(_, value)| value.is_none());
    let mut bytes = Vec::new();
    let mut footer = Footer {
        kind: PieceKind::Delta,
        format: codec.format(),
        records_bytes: 0,
        records: records.len() as u64,
        deletions: deletions.len() as u64,
        key_bytes: 0,
        value_bytes: 0,
    };
    let shape = match codec.format() {
        RecordFormat::Variable => None,
        RecordFormat::Fixed => {
            let (key_bytes, value_bytes) = codec.fixed_sizes()?;
            footer.key_bytes = key_bytes as u32;
            footer.value_bytes = value_bytes as u32;
            Some(FixedShape {
                key_bytes,
                value_bytes,
            })
        }
    };
    for (key, value) in deletions.into_iter().chain(others) {
        let start = bytes.len();
        match shape {
            Some(shape) => {
                // A deletion has room for the last value, which means nothing.
                let nothing = vec![0; shape.value_bytes];
                let value = value.as_ref().unwrap_or(&nothing);
                codec.check_fixed(key, value)?;
                bytes.resize(start + shape.stride(), 0);
                shape.write(&mut bytes[start..], key, value);
            }
            None => {
                let value_bytes = value.as_ref().map_or(0, Vec::len);
                bytes.resize(start + variable_record_bytes(key.len(), value_bytes), 0);
                write_variable_record(&mut bytes[start..], key, value.as_deref())?;
            }
        }
    }
    footer.records_bytes = bytes.len() as u64;
    bytes.extend_from_slice(&footer.to_bytes());
    Ok(bytes)
}
