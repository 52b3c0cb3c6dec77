//! Files in a bucket, for connectors: whole objects, reached from threads that know nothing of futures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use opendal::Operator;
use opendal::options::ListOptions;
use tokio::runtime::{Builder, Runtime};

use super::blob_store::{BlobStore, upload_options};
use super::error::StorageError;
use super::location::StoreLocation;
use crate::error::{Error, ErrorKind, Result};

/// How many threads wait for the network, for all files of one source or sink.
const THREADS: usize = 1;

/// The files below one place of a store. Clones share the connection. What is begun ends with the last clone.
#[derive(Clone, Debug)]
pub struct FileStore {
    operator: Operator,
    location: StoreLocation,
    threads: Arc<Threads>,
}

/// Something that was begun, and will come to an end on another thread.
pub struct PendingResult<T> {
    result: Receiver<Result<T>>,
    has_ended: Arc<AtomicBool>,
}

/// They end when nobody needs them any more. Nobody waits for that: it may happen where nobody may wait.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl FileStore {
    /// The files below `location`. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the store cannot be reached by what the location says;
    /// [`ErrorKind::Environment`] when the system gives no thread.
    pub fn open(location: &StoreLocation) -> Result<Self> {
        let store = BlobStore::open(location)?;
        Self::over(store.operator().clone(), location.clone())
    }

    /// The files of a folder on this machine, as if it were a bucket.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    #[cfg(test)]
    pub(crate) fn of_folder(folder: &std::path::Path) -> Result<Self> {
        let service = opendal::services::Fs::default().root(&folder.display().to_string());
        let operator = Operator::new(service).map_err(|error| {
            Error::new(ErrorKind::Environment, "a folder cannot be opened").with_source(error)
        })?;
        Self::over(operator, StoreLocation::of_folder(folder))
    }

    fn over(operator: Operator, location: StoreLocation) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("floodmark-files")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the threads that read and write files", error))?;
        Ok(Self {
            operator,
            location,
            threads: Arc::new(Threads(Some(runtime))),
        })
    }

    /// How a file of this name is addressed.
    pub fn address_of(&self, name: &str) -> String {
        self.location.join(name).to_string()
    }

    /// The name of the file at an address.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it does not lie below this store's place.
    pub fn name_of<'a>(&self, address: &'a str) -> Result<&'a str> {
        let root = self.location.to_string();
        let name = address.strip_prefix(&root);
        let name = name.and_then(|name| match root.ends_with('/') {
            true => Some(name),
            false => name.strip_prefix('/'),
        });
        name.filter(|name| !name.is_empty()).ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                format!(
                    "{address} does not lie in {root}; put the former path back, or start afresh"
                ),
            )
        })
    }

    /// The names of all files, also of those in folders. A store may still list what was just deleted, and not yet what was
    /// just written.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub fn list(&self) -> Result<Vec<String>> {
        let options = ListOptions {
            recursive: true,
            ..ListOptions::default()
        };
        let operator = self.operator.clone();
        let entries = self.start("list", "", async move {
            operator.list_options("", options).await
        });
        let files = entries.wait()?.into_iter();
        let files = files.filter(|entry| entry.metadata().is_file());
        Ok(files.map(|entry| entry.path().to_owned()).collect())
    }

    /// How many bytes a file has; nothing when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub fn length(&self, name: &str) -> Result<Option<u64>> {
        let (operator, path) = (self.operator.clone(), name.to_owned());
        let found = self.start("look at", name, async move {
            match operator.stat(&path).await {
                Ok(metadata) => Ok(Some(metadata.content_length())),
                Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        });
        found.wait()
    }

    /// Begins to read `length` bytes of a file from `offset` on.
    pub fn start_read(&self, name: &str, offset: u64, length: u64) -> PendingResult<Bytes> {
        let (operator, path) = (self.operator.clone(), name.to_owned());
        self.start("read", name, async move {
            let range = offset..offset.saturating_add(length);
            let read = operator.read_with(&path).range(range).await?;
            let bytes = read.to_bytes();
            if bytes.len() as u64 == length {
                return Ok(bytes);
            }
            let message = format!("{} bytes came of {length}", bytes.len());
            Err(opendal::Error::new(
                opendal::ErrorKind::RangeNotSatisfied,
                message,
            ))
        })
    }

    /// Begins to write a file, whatever was there by its name, and calls `ended` in the end. It is there whole or not at
    /// all.
    pub fn start_put(
        &self,
        name: &str,
        content: Bytes,
        ended: impl FnOnce() + Send + 'static,
    ) -> PendingResult<()> {
        let options = upload_options(content.len() as u64);
        let (operator, path) = (self.operator.clone(), name.to_owned());
        self.start_and_tell("write", name, ended, async move {
            operator
                .write_options(&path, content, options)
                .await
                .map(drop)
        })
    }

    /// Gives a file a second name, whatever was there by that.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`]; [`ErrorKind::Corrupt`] when there is no such file.
    pub fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (operator, source) = (self.operator.clone(), from.to_owned());
        let target = to.to_owned();
        let copied = self.start("copy", from, async move {
            operator.copy(&source, &target).await.map(drop)
        });
        copied.wait()
    }

    /// Deletes files. Those that are not there count as deleted.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`].
    pub fn delete(&self, names: Vec<String>) -> Result<()> {
        let Some(first) = names.first().cloned() else {
            return Ok(());
        };
        let operator = self.operator.clone();
        let deleted = self.start("delete", &first, async move {
            operator.delete_iter(names).await
        });
        deleted.wait()
    }

    /// Runs something that may block.
    pub fn run_blocking(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = &self.threads.0 {
            runtime.spawn_blocking(work);
        }
    }

    fn start<T: Send + 'static>(
        &self,
        action: &'static str,
        name: &str,
        work: impl Future<Output = Result<T, opendal::Error>> + Send + 'static,
    ) -> PendingResult<T> {
        self.start_and_tell(action, name, || (), work)
    }

    fn start_and_tell<T: Send + 'static>(
        &self,
        action: &'static str,
        name: &str,
        ended: impl FnOnce() + Send + 'static,
        work: impl Future<Output = Result<T, opendal::Error>> + Send + 'static,
    ) -> PendingResult<T> {
        let (sender, result) = sync_channel(1);
        let has_ended = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&has_ended);
        let address = self.location.join(name).to_string();
        if let Some(runtime) = &self.threads.0 {
            runtime.spawn(async move {
                let done = work.await;
                let done = done.map_err(|error| StorageError::from_opendal(action, address, error));
                // Nobody may wait for it any more.
                let _ = sender.send(done.map_err(Error::from));
                flag.store(true, Ordering::Release);
                ended();
            });
        }
        PendingResult { result, has_ended }
    }
}

impl<T> PendingResult<T> {
    /// Something that does not come to its end.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        let (sender, result) = sync_channel(1);
        std::mem::forget(sender);
        let has_ended = Arc::default();
        Self { result, has_ended }
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What the work ended with.
    pub fn wait(self) -> Result<T> {
        self.result.recv().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Bug,
                "the thread of a store has ended before its work",
            ))
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_read_copied_listed_and_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::of_folder(folder.path()).unwrap();
        let content = Bytes::from_static(b"hello world");
        let (ended, has_ended) = sync_channel(1);
        let put = store.start_put("a/b.csv", content, move || ended.send(()).unwrap());
        has_ended.recv().unwrap();
        assert!(put.has_ended());
        put.wait().unwrap();
        assert_eq!(store.length("a/b.csv").unwrap(), Some(11));
        assert_eq!(store.length("a/c.csv").unwrap(), None);
        let read = store.start_read("a/b.csv", 6, 5).wait().unwrap();
        assert_eq!(read, "world");
        store.copy("a/b.csv", "c.csv").unwrap();
        let mut names = store.list().unwrap();
        names.sort();
        assert_eq!(names, ["a/b.csv", "c.csv"]);
        store
            .delete(vec!["a/b.csv".into(), "nothing".into()])
            .unwrap();
        assert_eq!(store.list().unwrap(), ["c.csv"]);
        assert!(store.copy("a/b.csv", "d.csv").is_err());
    }

    #[test]
    fn an_address_leads_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::of_folder(folder.path()).unwrap();
        let address = store.address_of("a/b.csv");
        assert_eq!(store.name_of(&address).unwrap(), "a/b.csv");
        let root = folder.path().display().to_string();
        for wrong in [
            "/elsewhere/b.csv".to_owned(),
            root.clone(),
            format!("{root}x/b.csv"),
        ] {
            let error = store.name_of(&wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{wrong}");
        }
    }
}
