//! A log of versions and an index into it: a record is changed in place as long as it is of this epoch, and otherwise
//! written anew at the end. A snapshot is the part of the log that an epoch added.

use std::collections::VecDeque;
use std::sync::Arc;

use floodmark::model::hash_key;

use crate::chunk::{CHUNK_RECORDS, Chunk, Record};
use crate::generator::Row;
use crate::index::{Entry, Index};
use crate::memory::prefetch;
use crate::output::Output;
use crate::scheme::{Scheme, Settings};
use crate::table::STAGE_ROWS;
use crate::writer::{Checkpoint, Piece};

/// How many times as long as the live records the log may be before it is compacted.
const LOG_FACTOR: usize = 2;

pub(crate) struct Versions {
    index: Index,
    log: VersionLog,
    /// Live records.
    records: usize,
    /// The next record that compaction looks at.
    compacted: usize,
    epoch: u64,
    slice_records: usize,
}

/// Records by their number since the beginning. The oldest chunks are gone, and those of past epochs do not change.
struct VersionLog {
    /// The number of the oldest chunk.
    first_chunk: usize,
    /// The chunks of past epochs, each with its epoch.
    sealed: VecDeque<(u64, Arc<Chunk>)>,
    /// The chunks of this epoch.
    open: Vec<Chunk>,
}

impl Scheme for Versions {
    fn pool_records(records: usize) -> usize {
        records * (LOG_FACTOR + 1)
    }

    fn new(settings: Settings, output: &mut Output) -> Self {
        let keys = settings.keys;
        let mut versions = Self {
            index: Index::new(keys.count as usize, settings.huge_pages),
            log: VersionLog {
                first_chunk: 0,
                sealed: VecDeque::new(),
                open: Vec::new(),
            },
            records: keys.count as usize,
            compacted: 0,
            epoch: 0,
            slice_records: settings.slice_records,
        };
        for key in keys.iter() {
            let address = versions.log.push(Record { key, value: 0 }, output);
            versions.index.insert(hash_key(&key.to_le_bytes()), address);
        }
        versions.barrier(output);
        versions
    }

    fn update(&mut self, rows: &[Row], output: &mut Output) {
        let mut hashes = [0; STAGE_ROWS];
        for rows in rows.chunks(STAGE_ROWS) {
            for (row, hash) in rows.iter().zip(&mut hashes) {
                *hash = hash_key(&row.key.to_le_bytes());
                self.index.fetch(*hash);
            }
            for hash in &hashes[..rows.len()] {
                if let Some(entry) = self.index.candidates(*hash).next() {
                    prefetch(self.log.get(entry.address));
                }
            }
            for (row, hash) in rows.iter().zip(hashes) {
                self.add(row, hash, output);
            }
        }
    }

    fn barrier(&mut self, output: &mut Output) {
        let chunks = self.log.seal(self.epoch);
        output.write_shared(Piece::Delta(self.epoch), chunks);
        let first_epoch = self.log.sealed.front().map(|(epoch, _)| *epoch);
        output.finish(Checkpoint {
            epoch: self.epoch,
            first_epoch: first_epoch.unwrap_or(self.epoch),
        });
        self.epoch += 1;
    }

    fn slice(&mut self, output: &mut Output) {
        let end = self.compacted + self.slice_records;
        while self.log.len() > self.records * LOG_FACTOR && self.compacted < end {
            self.compact_stage(output);
            if self.compacted / CHUNK_RECORDS > self.log.first_chunk {
                self.log.drop_oldest(output);
            }
        }
    }

    fn sum(&self, key: u64) -> i64 {
        let entry = self.find(key, hash_key(&key.to_le_bytes()));
        self.log.get(entry.address).value
    }
}

impl Versions {
    #[inline]
    fn find(&self, key: u64, hash: u64) -> Entry {
        let mut candidates = self.index.candidates(hash);
        let found = candidates.find(|entry| self.log.get(entry.address).key == key);
        found.unwrap()
    }

    #[inline]
    fn add(&mut self, row: &Row, hash: u64, output: &mut Output) {
        let entry = self.find(row.key, hash);
        if let Some(record) = self.log.get_open(entry.address) {
            record.value += row.value;
            return;
        }
        let mut record = *self.log.get(entry.address);
        record.value += row.value;
        let address = self.log.push(record, output);
        self.index.replace(&entry, address);
    }

    /// Copies what is live among the next few records to the end of the log.
    fn compact_stage(&mut self, output: &mut Output) {
        let mut stage = [(Record { key: 0, value: 0 }, 0); STAGE_ROWS];
        let mut length = 0;
        // Chunks end early where an epoch ended, and a stage does not go beyond its chunk.
        let records = self.log.oldest().records();
        let offset = self.compacted % CHUNK_RECORDS;
        for record in records.iter().skip(offset).take(STAGE_ROWS) {
            let hash = hash_key(&record.key.to_le_bytes());
            self.index.fetch(hash);
            stage[length] = (*record, hash);
            length += 1;
        }
        for (number, (record, hash)) in stage[..length].iter().enumerate() {
            let address = self.compacted + number;
            let live = self
                .index
                .candidates(*hash)
                .find(|entry| entry.address == address);
            if let Some(entry) = live {
                let address = self.log.push(*record, output);
                self.index.replace(&entry, address);
            }
        }
        self.compacted += length;
        if offset + length >= self.log.oldest().records().len() {
            self.compacted = (self.log.first_chunk + 1) * CHUNK_RECORDS;
        }
    }
}

impl VersionLog {
    fn len(&self) -> usize {
        (self.sealed.len() + self.open.len()) * CHUNK_RECORDS
    }

    fn first_open(&self) -> usize {
        self.first_chunk + self.sealed.len()
    }

    #[inline]
    fn get(&self, address: usize) -> &Record {
        let chunk = address / CHUNK_RECORDS;
        let first_open = self.first_open();
        let chunk = if chunk >= first_open {
            &self.open[chunk - first_open]
        } else {
            &*self.sealed[chunk - self.first_chunk].1
        };
        &chunk.records()[address % CHUNK_RECORDS]
    }

    /// The record, if it is of this epoch.
    #[inline]
    fn get_open(&mut self, address: usize) -> Option<&mut Record> {
        let chunk = (address / CHUNK_RECORDS).checked_sub(self.first_open())?;
        Some(&mut self.open[chunk].records_mut()[address % CHUNK_RECORDS])
    }

    /// Appends the record, and gives its address.
    #[inline]
    fn push(&mut self, record: Record, output: &mut Output) -> usize {
        if self.open.last().is_none_or(|last| last.room() == 0) {
            self.open.push(output.pool.take());
        }
        let chunk = self.first_open() + self.open.len() - 1;
        let last = self.open.len() - 1;
        let offset = CHUNK_RECORDS - self.open[last].room();
        self.open[last].push(record);
        chunk * CHUNK_RECORDS + offset
    }

    /// Ends the epoch; gives its chunks, which do not change any more.
    fn seal(&mut self, epoch: u64) -> Vec<Arc<Chunk>> {
        let sealed = self.open.drain(..).map(|mut chunk| {
            chunk.pad();
            Arc::new(chunk)
        });
        let sealed: Vec<_> = sealed.collect();
        let shared = sealed.iter().map(|chunk| (epoch, Arc::clone(chunk)));
        self.sealed.extend(shared);
        sealed
    }

    /// The oldest chunk, which is of a past epoch: the live records alone fill half of the log.
    fn oldest(&self) -> &Chunk {
        &self.sealed[0].1
    }

    fn drop_oldest(&mut self, output: &mut Output) {
        let (_, chunk) = self.sealed.pop_front().unwrap();
        self.first_chunk += 1;
        // The writer may still hold it; then its memory goes back to the system in the end.
        output
            .pool
            .put_back(&mut Arc::into_inner(chunk).into_iter().collect());
    }
}
