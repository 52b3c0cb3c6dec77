//! A file in a bucket, read like one on this machine.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::{Buf, Bytes};

use crate::storage::{FileStore, PendingResult};

/// How much is fetched at a time. While one chunk is read, the next one is on its way.
const CHUNK_BYTES: u64 = 4 << 20;

/// An open file of a store. Reading blocks as long as what is asked for is on its way.
pub(super) struct StoredFile {
    store: FileStore,
    name: String,
    /// How many bytes the file had when it was opened.
    length: u64,
    /// Where the next read begins.
    offset: u64,
    /// What is there of the bytes from `offset` on.
    chunk: Bytes,
    /// What is on its way, and where it begins.
    next: Option<(u64, PendingResult<Bytes>)>,
}

impl StoredFile {
    /// The file `name`, which has `length` bytes, at its start.
    pub(super) fn new(store: FileStore, name: String, length: u64) -> Self {
        Self {
            store,
            name,
            length,
            offset: 0,
            chunk: Bytes::new(),
            next: None,
        }
    }

    /// Fetches the chunk that begins at `offset`, and asks for the one behind it.
    fn fetch(&mut self) -> io::Result<()> {
        let ahead = self.next.take_if(|(begin, _)| *begin == self.offset);
        let pending = match ahead {
            Some((_, pending)) => pending,
            None => self.ask(self.offset),
        };
        self.chunk = pending
            .wait()
            .map_err(|error| io::Error::other(error.full_message()))?;
        let behind = self.offset + self.chunk.len() as u64;
        if behind < self.length {
            self.next = Some((behind, self.ask(behind)));
        }
        Ok(())
    }

    fn ask(&self, offset: u64) -> PendingResult<Bytes> {
        let length = CHUNK_BYTES.min(self.length - offset);
        self.store.start_read(&self.name, offset, length)
    }
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.offset >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        if self.chunk.is_empty() {
            self.fetch()?;
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        self.offset += count as u64;
        Ok(count)
    }
}

impl Seek for StoredFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let offset = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.offset.checked_add_signed(distance),
        };
        let offset = offset.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let skipped = offset
            .checked_sub(self.offset)
            .and_then(|skipped| usize::try_from(skipped).ok());
        match skipped {
            Some(skipped) if skipped <= self.chunk.len() => self.chunk.advance(skipped),
            _ => self.chunk = Bytes::new(),
        }
        self.offset = offset;
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_reads_and_jumps_give_the_bytes_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let length = CHUNK_BYTES * 2 + 12_345;
        let content: Vec<u8> = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        std::fs::write(folder.path().join("file"), &content).unwrap();
        let store = FileStore::of_folder(folder.path()).unwrap();
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut file = StoredFile::new(store.clone(), "file".to_owned(), length);
            let mut offset = 0;
            for _ in 0..50 {
                if random.u8(0..4) == 0 {
                    offset = random.u64(0..length + 10);
                    assert_eq!(file.seek(SeekFrom::Start(offset)).unwrap(), offset);
                }
                let mut buffer = vec![0; random.usize(1..200_000)];
                let count = file.read(&mut buffer).unwrap();
                let expected = content.get(offset as usize..).unwrap_or_default();
                assert_eq!(count == 0, expected.is_empty(), "seed {seed}");
                assert!(
                    buffer[..count] == expected[..count],
                    "seed {seed}, byte {offset}"
                );
                offset += count as u64;
            }
        }
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), [1; 10]).unwrap();
        let store = FileStore::of_folder(folder.path()).unwrap();
        let mut file = StoredFile::new(store, "file".to_owned(), 11);
        let error = file.read(&mut [0; 20]).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
