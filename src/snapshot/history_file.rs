//! The file that says what became of a job's last checkpoints. No restore needs it.

use bytes::Bytes;

use super::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::StorageError;

impl CheckpointStore {
    /// Replaces the history of the job's checkpoints. One caller at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the store refuses; the former history is still there.
    pub async fn write_history(&self, history: Bytes) -> Result<()> {
        let (path, pending) = (self.paths.history(), self.paths.pending_history());
        Ok(self.blobs.replace(&path, &pending, history).await?)
    }

    /// The history of the job's checkpoints; nothing when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when it cannot be read, [`ErrorKind::Corrupt`] when it has more than `bytes_max` bytes.
    pub async fn read_history(&self, bytes_max: u64) -> Result<Option<Bytes>> {
        let path = self.paths.history();
        let found = match self.blobs.length(&path).await {
            Ok(length) if length > bytes_max => {
                let shown = self.blobs.full_path(&path);
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{shown} has {length} bytes, more than {bytes_max}"),
                ));
            }
            Ok(_) => self.blobs.read(&path).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StoreLocation;

    #[test]
    fn the_history_is_replaced_as_a_whole_and_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let location =
            StoreLocation::parse(folder.path().to_str().unwrap(), folder.path()).unwrap();
        let store = CheckpointStore::open(&location, "job").unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            assert_eq!(store.read_history(10).await.unwrap(), None);
            store.prepare().await.unwrap();
            // What a process has left that was killed while it wrote.
            let pending = folder.path().join("job/history.json.pending");
            std::fs::write(&pending, "half").unwrap();
            for text in ["first", "the second"] {
                store.write_history(Bytes::from(text)).await.unwrap();
                let read = store.read_history(10).await.unwrap();
                assert_eq!(read, Some(Bytes::from(text)));
            }
            assert!(!pending.exists());
            let error = store.read_history(9).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().ends_with("has 10 bytes, more than 9"));
        });
    }
}
