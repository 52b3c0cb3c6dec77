//! Records of one partition on their way from the fetching thread to the subtask.

use std::ops::Range;

/// Records that follow each other in one partition. Their bytes lie in one piece: a record costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Which of the started partitions they come from.
    pub(super) partition: usize,
    records: Vec<StoredRecord>,
    bytes: Vec<u8>,
    headers: Vec<StoredHeader>,
}

/// Which parts of a record anybody wants, beside its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedParts {
    pub(super) key: bool,
    pub(super) headers: bool,
}

/// A record as librdkafka gives it, or as a chunk does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) offset: i64,
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    /// Nothing for a tombstone.
    pub(super) value: Option<&'a [u8]>,
}

/// The name and value of a header.
pub(super) type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Where the parts of a record lie.
#[derive(Debug)]
struct StoredRecord {
    /// Where its bytes begin.
    start: usize,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

#[derive(Debug)]
struct StoredHeader {
    name: String,
    value: Option<Range<usize>>,
}

impl Chunk {
    /// An empty chunk of a partition.
    pub(super) fn of(partition: usize) -> Self {
        Self {
            partition,
            ..Self::default()
        }
    }

    /// Appends a record. The key and the headers are copied if they are given.
    pub(super) fn push<'a>(
        &mut self,
        record: Record<'_>,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) {
        let start = self.bytes.len();
        let key = record.key.map(|key| self.store(key));
        let value = record.value.map(|value| self.store(value));
        let first_header = self.headers.len();
        for (name, value) in headers {
            let value = value.map(|value| self.store(value));
            let name = name.to_owned();
            self.headers.push(StoredHeader { name, value });
        }
        self.records.push(StoredRecord {
            start,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            value,
            headers: first_header..self.headers.len(),
        });
    }

    /// Takes the last record back.
    pub(super) fn pop(&mut self) {
        if let Some(record) = self.records.pop() {
            self.headers.truncate(record.headers.start);
            self.bytes.truncate(record.start);
        }
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes keys, values and headers have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `index`.
    #[inline]
    pub(super) fn record(&self, index: usize) -> Option<Record<'_>> {
        let record = self.records.get(index)?;
        let part = |range: &Option<Range<usize>>| range.clone().map(|range| &self.bytes[range]);
        Some(Record {
            offset: record.offset,
            timestamp: record.timestamp,
            key: part(&record.key),
            value: part(&record.value),
        })
    }

    /// The headers of the record at `index`, in their order.
    pub(super) fn headers(&self, index: usize) -> impl DoubleEndedIterator<Item = Header<'_>> {
        let range = self.records.get(index).map(|record| record.headers.clone());
        self.headers[range.unwrap_or_default()]
            .iter()
            .map(|header| {
                let value = header.value.clone().map(|range| &self.bytes[range]);
                (header.name.as_str(), value)
            })
    }

    fn store(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let mut chunk = Chunk::of(3);
        let first = Record {
            offset: 7,
            timestamp: Some(100),
            key: Some(b"k"),
            value: Some(b"value"),
        };
        chunk.push(first, [("a", Some(&b"1"[..])), ("b", None)]);
        let tombstone = Record {
            offset: 9,
            timestamp: None,
            key: None,
            value: None,
        };
        chunk.push(tombstone, []);
        assert_eq!((chunk.len(), chunk.bytes()), (2, 7));
        let record = chunk.record(0).unwrap();
        assert_eq!((record.offset, record.timestamp), (7, Some(100)));
        assert_eq!(
            (record.key, record.value),
            (Some(&b"k"[..]), Some(&b"value"[..]))
        );
        let headers: Vec<_> = chunk.headers(0).collect();
        assert_eq!(headers, [("a", Some(&b"1"[..])), ("b", None)]);
        let record = chunk.record(1).unwrap();
        assert_eq!((record.key, record.value), (None, None));
        assert_eq!(chunk.headers(1).count(), 0);
        assert!(chunk.record(2).is_none());
        chunk.pop();
        chunk.pop();
        assert_eq!((chunk.len(), chunk.bytes(), chunk.headers.len()), (0, 0, 0));
    }
}
