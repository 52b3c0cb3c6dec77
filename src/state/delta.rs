//! The delta: every record touched in the current epoch, once, with its newest value, already in its final form.
//!
//! The table's slot keeps a *mark*: the number of the delta record that the table's record was last written to, counted
//! over all epochs in 32 bits that wrap round. A mark is current if it falls among the numbers of this epoch and the
//! delta record there has the same key. A mark left from long ago can fall among them by accident; the key tells.

use super::descriptor::RecordFormat;
use super::log::{RecordLog, RecordPlace};
use super::piece::{
    FixedShape, Footer, LENGTHS_BYTES, PieceKind, read_variable_record, variable_record_bytes,
    write_variable_record,
};
use super::sealed::SealedBytes;
use super::table::prefetch;
use crate::error::{Error, ErrorKind, Result};

/// The number of the first record of all. It is close to where the numbers wrap round, so that this happens in every
/// run, and not for the first time after days.
const FIRST_NUMBER: u32 = u32::MAX - 1000;

/// The numbers of the records of one epoch.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    /// The number of the epoch's first record.
    first: u32,
    /// How many records the epoch has.
    count: u32,
}

impl Numbers {
    fn new() -> Self {
        Self {
            first: FIRST_NUMBER,
            count: 0,
        }
    }

    /// Which record of the epoch a mark points to, if it does.
    #[inline(always)]
    fn index_of(self, mark: u32) -> Option<u32> {
        let index = mark.wrapping_sub(self.first);
        (index < self.count).then_some(index)
    }

    /// Adds a record; gives its mark.
    #[inline]
    fn add(&mut self) -> Result<u32> {
        let mark = self.first.wrapping_add(self.count);
        self.count = self.count.checked_add(1).ok_or_else(|| {
            Error::new(
                ErrorKind::Environment,
                "more than 4 billion records were touched since the last checkpoint: take checkpoints more often",
            )
        })?;
        Ok(mark)
    }

    /// A mark that points to no record of this epoch.
    fn no_mark(self) -> u32 {
        self.first.wrapping_sub(1)
    }

    fn next_epoch(&mut self) {
        self.first = self.first.wrapping_add(self.count);
        self.count = 0;
    }
}

/// The delta of a state whose keys and values each have one size.
pub(super) struct FixedDelta {
    log: RecordLog,
    numbers: Numbers,
    /// Which records of this epoch say that their key was deleted.
    deleted: Vec<u32>,
}

impl FixedDelta {
    /// An empty delta.
    pub(super) fn new(log: RecordLog) -> Self {
        Self {
            log,
            numbers: Numbers::new(),
            deleted: Vec::new(),
        }
    }

    /// How many bytes the epoch's records take.
    pub(super) fn len(&self) -> u64 {
        self.log.len()
    }

    /// An empty log on the same pool of chunks.
    pub(super) fn another_log(&self) -> RecordLog {
        self.log.another()
    }

    /// A mark that is not current.
    pub(super) fn no_mark(&self) -> u32 {
        self.numbers.no_mark()
    }

    /// Asks for the delta record that a mark points to.
    #[inline(always)]
    pub(super) fn prefetch(&self, shape: FixedShape, mark: u32) {
        if let Some(index) = self.numbers.index_of(mark) {
            prefetch(self.log.written_from(place(shape, index)).as_ptr());
        }
    }

    /// Writes down the record's newest value; gives the mark to be kept in its slot.
    ///
    /// `shape` is a parameter so that a caller who knows it while compiling gets arithmetic on constants.
    #[inline(always)]
    pub(super) fn touch(
        &mut self,
        shape: FixedShape,
        mark: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<u32> {
        if let Some(index) = self.numbers.index_of(mark) {
            let record = &mut self.log.written_from_mut(place(shape, index))[..shape.stride()];
            if record[..shape.key_bytes] == *key {
                record[shape.key_bytes..shape.key_bytes + shape.value_bytes].copy_from_slice(value);
                return Ok(mark);
            }
        }
        self.append(shape, key, value)
    }

    /// Writes down that the record is deleted.
    pub(super) fn remove(
        &mut self,
        shape: FixedShape,
        mark: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let mark = self.touch(shape, mark, key, value)?;
        self.deleted.push(mark.wrapping_sub(self.numbers.first));
        Ok(())
    }

    /// Ends the epoch.
    pub(super) fn seal(&mut self, shape: FixedShape) -> Result<SealedBytes> {
        if self.numbers.count == 0 {
            return Ok(SealedBytes::default());
        }
        let records = u64::from(self.numbers.count);
        let deletions = self.deleted.len() as u64;
        let sealed = self.log.seal(&self.deleted, |records_bytes| Footer {
            kind: PieceKind::Delta,
            format: RecordFormat::Fixed,
            records_bytes,
            records,
            deletions,
            key_bytes: shape.key_bytes as u32,
            value_bytes: shape.value_bytes as u32,
        })?;
        self.numbers.next_epoch();
        self.deleted.clear();
        Ok(sealed)
    }

    #[inline]
    fn append(&mut self, shape: FixedShape, key: &[u8], value: &[u8]) -> Result<u32> {
        let (_, record) = self.log.append(shape.stride())?;
        shape.write(record, key, value);
        self.numbers.add()
    }
}

/// Where the record with this index in the epoch lies: every chunk holds as many records as fit.
#[inline(always)]
fn place(shape: FixedShape, index: u32) -> RecordPlace {
    let stride = shape.stride() as u32;
    let records_in_chunk = super::chunk::CHUNK_BYTES as u32 / stride;
    RecordPlace {
        chunk: index / records_in_chunk,
        position: index % records_in_chunk * stride,
    }
}

/// The delta of a state whose keys or values vary in size.
pub(super) struct VariableDelta {
    log: RecordLog,
    numbers: Numbers,
    /// Where each record of this epoch lies.
    places: Vec<RecordPlace>,
    deletions: u64,
}

impl VariableDelta {
    /// An empty delta.
    pub(super) fn new(log: RecordLog) -> Self {
        Self {
            log,
            numbers: Numbers::new(),
            places: Vec::new(),
            deletions: 0,
        }
    }

    /// How many bytes the epoch's records take.
    pub(super) fn len(&self) -> u64 {
        self.log.len()
    }

    /// An empty log on the same pool of chunks.
    pub(super) fn another_log(&self) -> RecordLog {
        self.log.another()
    }

    /// A mark that is not current.
    pub(super) fn no_mark(&self) -> u32 {
        self.numbers.no_mark()
    }

    /// Asks for the delta record that a mark points to.
    #[inline]
    pub(super) fn prefetch(&self, mark: u32) {
        if let Some(index) = self.numbers.index_of(mark) {
            prefetch(self.log.written_from(self.places[index as usize]).as_ptr());
        }
    }

    /// Writes down the record's newest value; gives the mark to be kept in its slot.
    ///
    /// A value that has kept its length replaces the one before; another length makes a new record.
    pub(super) fn touch(&mut self, mark: u32, key: &[u8], value: &[u8]) -> Result<u32> {
        if let Some(index) = self.numbers.index_of(mark) {
            let place = self.places[index as usize];
            let found = read_variable_record(self.log.written_from(place))?;
            if found.key == key && found.value.map(<[u8]>::len) == Some(value.len()) {
                let start = LENGTHS_BYTES + key.len().next_multiple_of(8);
                self.log.written_from_mut(place)[start..start + value.len()].copy_from_slice(value);
                return Ok(mark);
            }
        }
        self.append(key, Some(value))
    }

    /// Writes down that the record is deleted.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.append(key, None)?;
        self.deletions += 1;
        Ok(())
    }

    /// Ends the epoch.
    pub(super) fn seal(&mut self) -> Result<SealedBytes> {
        if self.numbers.count == 0 {
            return Ok(SealedBytes::default());
        }
        let records = u64::from(self.numbers.count);
        let deletions = self.deletions;
        let sealed = self.log.seal(&[], |records_bytes| {
            variable_footer(PieceKind::Delta, records_bytes, records, deletions)
        })?;
        self.numbers.next_epoch();
        self.places.clear();
        self.deletions = 0;
        Ok(sealed)
    }

    fn append(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<u32> {
        let bytes = variable_record_bytes(key.len(), value.map_or(0, <[u8]>::len));
        let (place, record) = self.log.append(bytes)?;
        write_variable_record(record, key, value)?;
        self.places.push(place);
        self.numbers.add()
    }
}

/// The footer of a piece whose records vary in size.
pub(super) fn variable_footer(
    kind: PieceKind,
    records_bytes: u64,
    records: u64,
    deletions: u64,
) -> Footer {
    Footer {
        kind,
        format: RecordFormat::Variable,
        records_bytes,
        records,
        deletions,
        key_bytes: 0,
        value_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::super::chunk::ChunkPool;
    use super::super::piece::{FixedPiece, for_each_variable_record};
    use super::super::segment::SegmentPool;
    use super::*;

    const SHAPE: FixedShape = FixedShape {
        key_bytes: 4,
        value_bytes: 4,
    };

    fn log(folder: &tempfile::TempDir) -> RecordLog {
        let segments = Rc::new(RefCell::new(SegmentPool::open(folder.path()).unwrap()));
        RecordLog::new(Rc::new(RefCell::new(ChunkPool::new(segments))))
    }

    fn fixed_records(sealed: &SealedBytes) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let bytes = sealed.chunks.concat();
        FixedPiece::parse(&bytes, PieceKind::Delta, SHAPE)
            .unwrap()
            .records()
            .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
            .collect()
    }

    fn record(key: &[u8], value: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
        (key.to_vec(), value.map(<[u8]>::to_vec))
    }

    /// Marks wrap round: one left from long ago can point to a record of this epoch, which is another key's.
    #[test]
    fn a_mark_left_from_long_ago_never_overwrites_another_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut delta = FixedDelta::new(log(&folder));
        let mark = delta
            .touch(SHAPE, delta.no_mark(), b"key1", b"aaaa")
            .unwrap();
        let other = delta.touch(SHAPE, mark, b"key2", b"bbbb").unwrap();
        assert_ne!(mark, other);
        assert_eq!(delta.touch(SHAPE, mark, b"key1", b"cccc").unwrap(), mark);
        let sealed = delta.seal(SHAPE).unwrap();
        let expected = [
            record(b"key1", Some(b"cccc")),
            record(b"key2", Some(b"bbbb")),
        ];
        assert_eq!(fixed_records(&sealed), expected);

        let mut delta = VariableDelta::new(log(&folder));
        let mark = delta.touch(delta.no_mark(), b"key1", b"aaaa").unwrap();
        assert_ne!(delta.touch(mark, b"key2", b"bbbb").unwrap(), mark);
        assert_ne!(delta.touch(mark, b"key1", b"longer").unwrap(), mark);
        let bytes = delta.seal().unwrap().chunks.concat();
        let mut found = Vec::new();
        for_each_variable_record(&bytes, PieceKind::Delta, |key, value| {
            found.push(record(key, value));
            Ok(())
        })
        .unwrap();
        let expected = [
            record(b"key1", Some(b"aaaa")),
            record(b"key2", Some(b"bbbb")),
            record(b"key1", Some(b"longer")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mark_of_the_last_epoch_makes_a_new_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut delta = FixedDelta::new(log(&folder));
        let mut mark = delta.no_mark();
        // The numbers wrap round on the way.
        for epoch in 0..2_000_u32 {
            let value = epoch.to_le_bytes();
            mark = delta.touch(SHAPE, mark, b"key1", &value).unwrap();
            let sealed = delta.seal(SHAPE).unwrap();
            let expected = [record(b"key1", Some(&value))];
            assert_eq!(fixed_records(&sealed), expected, "epoch {epoch}");
        }
    }

    #[test]
    fn a_key_deleted_and_put_again_in_one_epoch_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut delta = FixedDelta::new(log(&folder));
        let mark = delta
            .touch(SHAPE, delta.no_mark(), b"key1", b"aaaa")
            .unwrap();
        delta.remove(SHAPE, mark, b"key1", b"aaaa").unwrap();
        delta
            .touch(SHAPE, delta.no_mark(), b"key1", b"bbbb")
            .unwrap();
        delta
            .remove(SHAPE, delta.no_mark(), b"key2", b"zzzz")
            .unwrap();
        let sealed = delta.seal(SHAPE).unwrap();
        let expected = [
            record(b"key1", None),
            record(b"key1", Some(b"bbbb")),
            record(b"key2", None),
        ];
        assert_eq!(fixed_records(&sealed), expected);
    }
}
