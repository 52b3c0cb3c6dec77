//! A file that is read only as far as the row at hand may reach.

use std::io::{self, Read, Seek, SeekFrom};

/// A file that ends a read with an error where no row may reach: so a quote that is never closed does not bring the whole
/// file into memory.
pub(super) struct BoundedFile<F> {
    file: F,
    /// How far it has been read.
    offset: u64,
    /// Where the row at hand must have ended.
    end: u64,
}

impl<F> BoundedFile<F> {
    /// A file of which nothing may be read yet.
    pub(super) fn new(file: F) -> Self {
        Self {
            file,
            offset: 0,
            end: 0,
        }
    }

    /// Says where the row at hand must have ended.
    pub(super) fn allow_to(&mut self, end: u64) {
        self.end = end;
    }

    /// Whether more has been read than a row may reach to.
    pub(super) fn is_exhausted(&self) -> bool {
        self.offset > self.end
    }
}

impl<F: Read> Read for BoundedFile<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_exhausted() {
            return Err(io::Error::other("a row is too large"));
        }
        // What fits in the buffer is read at once: the bound is of rows, and a buffer can hold many.
        let read = self.file.read(buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl<F: Seek> Seek for BoundedFile<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.offset = self.file.seek(to)?;
        Ok(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_bound_but_what_one_buffer_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        let mut file = BoundedFile::new(File::open(&path).unwrap());
        let mut buffer = [0; 10];
        file.allow_to(25);
        // A row that ends at the bound may need another look, to see the end of the file.
        for _ in 0..3 {
            assert_eq!(file.read(&mut buffer).unwrap(), 10);
        }
        assert!(file.is_exhausted());
        assert!(file.read(&mut buffer).is_err());
        file.allow_to(30);
        assert_eq!(file.read(&mut buffer).unwrap(), 10);
        file.seek(SeekFrom::Start(5)).unwrap();
        assert!(!file.is_exhausted());
        assert_eq!(file.read(&mut buffer).unwrap(), 10);
    }
}
