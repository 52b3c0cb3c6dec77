//! Records as bytes: how they wait in memory, and how they stand in a snapshot.
//!
//! A log is its records, one after the other. All numbers are little-endian; a length of -1 says that there is nothing,
//! which is not the same as an empty text.
//!
//! | size | content |
//! |---|---|
//! | 2 | length of the topic's name; 0 for that of the record before |
//! | that length | the topic's name |
//! | 4 | the partition; -1 when the partitioner chooses |
//! | 8 | the timestamp in milliseconds since the Unix epoch; -1 when the producer gives it one |
//! | 4, that length | the key |
//! | 4, that length | the value |
//! | 2 | number of headers |
//! | for each 2, that length | the header's name |
//! | for each 4, that length | the header's value |

use super::byte_reader::ByteReader;
use crate::error::{Error, ErrorKind, Result};

/// One record on its way to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    /// The partition; without one the partitioner chooses.
    pub(super) partition: Option<i32>,
    /// Milliseconds since the Unix epoch; without it the producer takes the time at which it is sent.
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// Records in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct RecordLog {
    bytes: Vec<u8>,
    records: u32,
    /// The topic of the last record.
    topic: String,
}

/// What reads a log.
pub(super) struct RecordReader<'a> {
    bytes: ByteReader<'a>,
    topic: &'a str,
}

impl RecordLog {
    /// Appends a record.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a part of it is too long for Kafka.
    pub(super) fn push(&mut self, record: &Record<'_>) -> Result<()> {
        let start = self.bytes.len();
        let pushed = self.encode(record);
        if pushed.is_none() {
            self.bytes.truncate(start);
            return Err(too_long(record));
        }
        if self.topic != record.topic {
            record.topic.clone_into(&mut self.topic);
        }
        Ok(())
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many records it has.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// All of it, as bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn encode(&mut self, record: &Record<'_>) -> Option<()> {
        let records = self.records.checked_add(1)?;
        let topic = if self.topic == record.topic {
            ""
        } else {
            record.topic
        };
        let bytes = &mut self.bytes;
        put_name(bytes, topic)?;
        bytes.extend_from_slice(&record.partition.unwrap_or(-1).to_le_bytes());
        bytes.extend_from_slice(&record.timestamp.unwrap_or(-1).to_le_bytes());
        put_value(bytes, record.key)?;
        put_value(bytes, record.value)?;
        let headers = u16::try_from(record.headers.len()).ok()?;
        bytes.extend_from_slice(&headers.to_le_bytes());
        for (name, value) in &record.headers {
            put_name(bytes, name)?;
            put_value(bytes, *value)?;
        }
        self.records = records;
        Some(())
    }
}

impl<'a> RecordReader<'a> {
    /// Reads `bytes` from their start.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: ByteReader::new(bytes),
            topic: "",
        }
    }

    fn read(&mut self) -> Result<Record<'a>> {
        let topic = self.bytes.name()?;
        if !topic.is_empty() {
            self.topic = topic;
        }
        let partition = self.bytes.i32()?;
        let timestamp = self.bytes.i64()?;
        let (key, value) = (self.bytes.value()?, self.bytes.value()?);
        let headers = 0..self.bytes.u16()?;
        let headers = headers.map(|_| Ok((self.bytes.name()?, self.bytes.value()?)));
        Ok(Record {
            partition: (partition >= 0).then_some(partition),
            timestamp: (timestamp >= 0).then_some(timestamp),
            key,
            value,
            headers: headers.collect::<Result<_>>()?,
            topic: self.topic,
        })
    }
}

impl<'a> Iterator for RecordReader<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            // Nothing behind it can be found.
            self.bytes = ByteReader::new(&[]);
        }
        Some(record)
    }
}

/// Appends a text of at most 65,535 bytes. Nothing when it is longer.
pub(super) fn put_name(bytes: &mut Vec<u8>, name: &str) -> Option<()> {
    let length = u16::try_from(name.len()).ok()?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    Some(())
}

fn put_value(bytes: &mut Vec<u8>, value: Option<&[u8]>) -> Option<()> {
    let Some(value) = value else {
        bytes.extend_from_slice(&(-1_i32).to_le_bytes());
        return Some(());
    };
    let length = i32::try_from(value.len()).ok()?;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(value);
    Some(())
}

#[cold]
fn too_long(record: &Record<'_>) -> Error {
    let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    Error::new(
        ErrorKind::Data,
        format!(
            "a record for topic {} is too long for Kafka: its key has {} bytes, its value {}, and it has {} headers",
            record.topic,
            bytes(record.key),
            bytes(record.value),
            record.headers.len()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: &str) -> Record<'_> {
        Record {
            topic,
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn every_record_comes_back_as_it_was() {
        let full = Record {
            partition: Some(3),
            timestamp: Some(1_700_000_000_000),
            key: Some(b"k"),
            value: Some(b""),
            headers: vec![("trace", Some(b"1")), ("empty", None)],
            ..record("a")
        };
        let records = [full.clone(), record("a"), record("b"), full];
        let mut log = RecordLog::default();
        for record in &records {
            log.push(record).unwrap();
        }
        assert_eq!(log.records(), 4);
        let bytes = log.into_bytes();
        let read: Vec<_> = RecordReader::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(read, records);
    }

    #[test]
    fn a_log_that_was_cut_is_an_error() {
        let mut log = RecordLog::default();
        log.push(&record("topic")).unwrap();
        let bytes = log.into_bytes();
        for cut in 1..bytes.len() {
            let read = RecordReader::new(&bytes[..cut]).last().unwrap();
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "{cut}");
        }
    }

    #[test]
    fn a_record_that_is_too_long_leaves_nothing_behind() {
        let mut log = RecordLog::default();
        let name = "n".repeat(70_000);
        let headers = vec![(name.as_str(), None)];
        let error = log.push(&Record {
            headers,
            ..record("a")
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Data);
        log.push(&record("a")).unwrap();
        let bytes = log.into_bytes();
        let read: Vec<_> = RecordReader::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(read, [record("a")]);
    }
}
