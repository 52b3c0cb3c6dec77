//! A bucket in memory that behaves as badly as a bucket may.
//!
//! It stands below [`BlobStore`] in the place of a service, so everything above it is what production runs. Each request
//! takes several turns, so that others come in between. It can fail, or its answer can be lost, or it can be given up and be
//! delivered late; and what is listed shows what is gone, and not yet what is there. What it keeps is this alone: an object
//! is created if there is none of its name, at one moment, and from then on shown to whoever asks for it by that.

mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use opendal::{Error, ErrorKind, Operator, Result};
use tokio::task::yield_now;

use self::service::BucketService;
use super::blob_store::{BlobStore, Retries, Uploads};
use super::location::StoreLocation;
use crate::config::S3Section;

/// A bucket in memory. Clones share it.
#[derive(Clone)]
pub(crate) struct SimulatedBucket(Arc<Mutex<Contents>>);

struct Contents {
    objects: BTreeMap<String, Bytes>,
    /// What was deleted, and may be listed still.
    ghosts: Vec<String>,
    /// Requests that were given up, and are still on their way.
    late: Vec<Change>,
    random: Rng,
    /// One in so many requests goes wrong; none when it is 0.
    trouble: u32,
    ignores_conditions: bool,
}

/// A request that changes something.
#[derive(Clone, Debug)]
enum Change {
    Create(String, Bytes),
    Write(String, Bytes),
    Delete(String),
}

/// What becomes of a request.
enum Fate {
    Done,
    /// It comes to nothing, and whoever asked is told so.
    Refused,
    /// It is done, and whoever asked is told that it was not.
    AnswerLost,
    /// It is done some time or other.
    Late,
}

impl fmt::Debug for SimulatedBucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SimulatedBucket")
    }
}

impl SimulatedBucket {
    /// A bucket of which one in so many requests goes wrong; none when that is 0.
    pub(crate) fn new(seed: u64, trouble: u32) -> Self {
        Self(Arc::new(Mutex::new(Contents {
            objects: BTreeMap::new(),
            ghosts: Vec::new(),
            late: Vec::new(),
            random: Rng::with_seed(seed),
            trouble,
            ignores_conditions: false,
        })))
    }

    /// A store in the bucket, which tries again without a pause.
    pub(crate) fn store(&self) -> BlobStore {
        self.store_with(&S3Section::default())
    }

    /// The same with settings of the user.
    pub(crate) fn store_with(&self, s3: &S3Section) -> BlobStore {
        let service = BucketService::on(self.clone());
        let operator = Operator::new(service).unwrap();
        let retries = Retries {
            max: 2,
            pause: Duration::ZERO,
            ..Retries::DISK
        };
        let root = StoreLocation::of_folder("/bucket").with_s3(s3);
        BlobStore::in_bucket(operator, root, Uploads::default(), retries)
    }

    /// From now on whatever is created replaces what is there.
    pub(crate) fn ignore_conditions(&self) {
        self.lock().ignores_conditions = true;
    }

    /// From now on nothing goes wrong, and everything that is late arrives.
    pub(crate) fn calm(&self) {
        let mut contents = self.lock();
        contents.trouble = 0;
        for change in std::mem::take(&mut contents.late) {
            _ = contents.apply(change);
        }
        contents.ghosts.clear();
    }

    /// The names of all objects.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    async fn change(&self, change: Change) -> Result<()> {
        yield_now().await;
        let done = {
            let mut contents = self.lock();
            contents.deliver_late();
            match contents.fate() {
                Fate::Done => contents.apply(change),
                Fate::Refused => Err(trouble()),
                Fate::AnswerLost => {
                    _ = contents.apply(change);
                    Err(trouble())
                }
                Fate::Late => {
                    contents.late.push(change);
                    Err(trouble())
                }
            }
        };
        // Whoever is killed here does not hear what came of it.
        yield_now().await;
        done
    }

    async fn look<T>(&self, look: impl FnOnce(&mut Contents) -> T) -> Result<T> {
        yield_now().await;
        let seen = {
            let mut contents = self.lock();
            contents.deliver_late();
            match contents.fate() {
                Fate::Done => Ok(look(&mut contents)),
                _ => Err(trouble()),
            }
        };
        yield_now().await;
        seen
    }

    /// The names of objects and folders in a folder, whose own name ends with a slash or is empty.
    async fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.look(|contents| {
            let Contents {
                objects,
                ghosts,
                random,
                trouble,
                ..
            } = contents;
            let lies = *trouble > 0;
            let shown = objects.keys().filter(|_| !lies || random.u8(0..4) > 0);
            let mut names: Vec<String> = shown
                .chain(ghosts.iter().filter(|_| lies))
                .filter_map(|path| path.strip_prefix(folder))
                .map(|name| match name.split_once('/') {
                    Some((below, _)) => format!("{below}/"),
                    None => name.to_owned(),
                })
                .collect();
            names.sort();
            names.dedup();
            names
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn fate(&mut self) -> Fate {
        if self.trouble == 0 || self.random.u32(0..self.trouble) > 0 {
            return Fate::Done;
        }
        match self.random.u8(0..3) {
            0 => Fate::Refused,
            1 => Fate::AnswerLost,
            _ => Fate::Late,
        }
    }

    fn deliver_late(&mut self) {
        if !self.late.is_empty() && self.random.u8(0..8) == 0 {
            let index = self.random.usize(0..self.late.len());
            let change = self.late.swap_remove(index);
            // Nobody hears what came of it.
            _ = self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Create(path, _)
                if !self.ignores_conditions && self.objects.contains_key(&path) =>
            {
                let kind = ErrorKind::ConditionNotMatch;
                return Err(Error::new(kind, "the object is there"));
            }
            Change::Create(path, content) | Change::Write(path, content) => {
                self.objects.insert(path, content);
            }
            Change::Delete(path) => {
                if self.objects.remove(&path).is_some() {
                    self.ghosts.push(path);
                }
            }
        }
        Ok(())
    }
}

fn trouble() -> Error {
    Error::new(ErrorKind::Unexpected, "the network is bad").set_temporary()
}
