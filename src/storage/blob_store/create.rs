//! Files that are there whole or not at all: created once, or replaced.

use bytes::Bytes;
use opendal::options;
use tracing::warn;

use super::{BlobStore, Medium};
use crate::config::ConditionalPut;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::error::StorageError;
use crate::storage::paths::BlobPath;

impl BlobStore {
    /// Gives the file `pending` its own name, unless there is one of that name; then it is deleted. Whoever holds `pending`,
    /// which only one process can create, looks for `path` before that, so nobody replaces what another has created. The
    /// name is not safe from a power cut before [`BlobStore::sync_folder`].
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when the path is taken, [`StorageError::NotFound`] when somebody has deleted
    /// `pending`.
    pub async fn name_if_absent(
        &self,
        path: &BlobPath,
        pending: &BlobPath,
    ) -> Result<(), StorageError> {
        let named = match self.length(path).await {
            Ok(_) => Err(StorageError::AlreadyExists {
                path: self.full_path(path).to_string(),
            }),
            Err(StorageError::NotFound { .. }) => self.rename(pending, path).await,
            Err(error) => Err(error),
        };
        if named.is_err() {
            self.discard(pending).await;
        }
        named
    }

    /// Creates an object in a bucket, unless there is one already. Of several that try, one succeeds, and knows it: an
    /// answer that is lost on the way is made up for by a look at what is there. So no two may try with the same content.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when there is one, which stays; [`StorageError::Failed`], after which it may be there
    /// or not, or still come to be.
    pub async fn create(&self, path: &BlobPath, content: Bytes) -> Result<(), StorageError> {
        let mut attempt = 0;
        loop {
            let error = match self.try_to_create(path, content.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.kind() == opendal::ErrorKind::ConditionNotMatch {
                // A former attempt may have got through, or this one without our hearing of it.
                return match self.read(path).await {
                    Ok(found) if found == content => Ok(()),
                    Ok(_) => Err(self.error("create", path, error)),
                    Err(unread) => Err(unread),
                };
            }
            if !error.is_temporary() || attempt == self.retries.max {
                return Err(self.error("create", path, error));
            }
            warn!(%path, attempt, reason = error.message(), "the store failed and will be tried again");
            tokio::time::sleep(self.retries.pause_after(attempt)).await;
            attempt += 1;
        }
    }

    async fn try_to_create(&self, path: &BlobPath, content: Bytes) -> opendal::Result<()> {
        let is_conditional = match &self.medium {
            Medium::Disk(_) => true,
            Medium::Bucket(bucket) => bucket.heeds_conditions(),
        };
        if !is_conditional && self.operator.exists(path.as_str()).await? {
            let kind = opendal::ErrorKind::ConditionNotMatch;
            return Err(opendal::Error::new(kind, "the object is there"));
        }
        let options = options::WriteOptions {
            if_not_exists: is_conditional,
            ..Default::default()
        };
        let written = self.writing.write_options(path.as_str(), content, options);
        written.await.map(drop)
    }

    /// Finds out whether a bucket can create an object only if there is none, with an object at `path` that means nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it cannot, unless the user answers for it; [`ErrorKind::Environment`] when the
    /// bucket cannot be written to.
    pub async fn prove_conditional_put(&self, path: &BlobPath) -> Result<()> {
        let Medium::Bucket(bucket) = &self.medium else {
            return Ok(());
        };
        let content = Bytes::from_static(b"{}\n");
        self.overwrite(path, content).await?;
        // Not what is there: the same would count as having been created.
        let second = self.create(path, Bytes::from_static(b"{ }\n")).await;
        match second {
            Err(StorageError::AlreadyExists { .. }) => Ok(()),
            Err(error @ (StorageError::NotFound { .. } | StorageError::Failed { .. })) => {
                Err(error.into())
            }
            Ok(()) if self.root.s3().conditional_put == ConditionalPut::AssumeSingleOwner => {
                warn!(
                    store = %self.root,
                    "the store cannot create an object only if there is none: see to it that the job is never started twice"
                );
                bucket.note_that_conditions_are_ignored();
                Ok(())
            }
            Ok(()) => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "{} cannot create an object only if there is none (If-None-Match), so a job could have two owners: use \
                     another store, or set checkpoint.s3.conditional_put = \"assume-single-owner\" and see to it that the \
                     job is never started twice",
                    self.root
                ),
            )),
        }
    }

    /// Writes a file, whatever was there by its name: a reader finds the old content or the new one, and either is
    /// whole. There must be one writer. A power cut can bring the old content back, and of a bucket an answer that was lost on
    /// the way.
    ///
    /// # Errors
    /// [`StorageError::Failed`]; the old content is still there.
    pub async fn replace(
        &self,
        path: &BlobPath,
        pending: &BlobPath,
        content: Bytes,
    ) -> Result<(), StorageError> {
        if self.is_bucket() {
            return self.overwrite(path, content).await;
        }
        // A process that was killed may have left its own.
        self.delete(pending).await?;
        self.put(pending, &[vec![content]]).await?;
        let renamed = self.rename(pending, path).await;
        if renamed.is_err() {
            self.discard(pending).await;
        }
        renamed
    }

    /// Gives a file another name, whatever was there by that. In a bucket there can be both for a while.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is no such file.
    pub async fn rename(&self, from: &BlobPath, to: &BlobPath) -> Result<(), StorageError> {
        if self.is_bucket() {
            let content = self.read(from).await?;
            self.overwrite(to, content).await?;
            return self.delete(from).await;
        }
        let renamed = self.writing.rename(from.as_str(), to.as_str()).await;
        renamed.map_err(|error| self.error("put in place", to, error))
    }

    /// Writes an object of a bucket, whatever was there.
    async fn overwrite(&self, path: &BlobPath, content: Bytes) -> Result<(), StorageError> {
        let written = self.operator.write(path.as_str(), content).await;
        written
            .map(drop)
            .map_err(|error| self.error("write", path, error))
    }

    /// Takes a folder that is not there for whoever writes a snapshot into it; whether it was not there. In a bucket, which
    /// has no folders, it is taken with the file `mark`.
    ///
    /// # Errors
    /// [`StorageError::Failed`].
    pub async fn take_folder(
        &self,
        folder: &BlobPath,
        mark: &BlobPath,
        taker: &str,
    ) -> Result<bool, StorageError> {
        let Medium::Disk(folders) = &self.medium else {
            if !self.list(folder).await?.is_empty() {
                return Ok(false);
            }
            return match self.create(mark, Bytes::from(taker.to_owned())).await {
                Ok(()) => Ok(true),
                Err(StorageError::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error),
            };
        };
        let made = folders.make(folder.as_str()).await;
        made.map_err(|error| self.failed("make the folder", folder, error))
    }
}
