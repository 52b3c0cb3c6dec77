//! One snapshot where it lies: its manifest, whether its objects are there, and what is in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinError;

use super::damage::Damage;
use super::manifest::{Manifest, Piece};
use super::manifest_file;
use crate::error::Error;
use crate::storage::{BlobPath, BlobStore, Checksum, ObjectName, SnapshotPaths, StorageError};

/// How many objects are looked at at a time.
const CONCURRENT_LOOKS_MAX: usize = 32;

/// How many objects are read at a time.
const CONCURRENT_READS_MAX: usize = 8;

/// One snapshot in a store.
#[derive(Clone, Debug)]
pub(super) struct SnapshotObjects {
    pub(super) blobs: BlobStore,
    pub(super) paths: SnapshotPaths,
}

/// What a manifest needs of one object.
#[derive(Clone, Debug)]
pub(super) struct LoadedObject {
    /// Where `bytes` start in the object.
    start: u64,
    bytes: Bytes,
}

/// Objects that were read, by their names.
pub(super) type LoadedObjects = BTreeMap<ObjectName, LoadedObject>;

/// From the first to the last byte that a manifest needs of an object.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    end: u64,
}

impl SnapshotObjects {
    /// The manifest, and the size of its file in bytes.
    pub(super) async fn read_manifest(&self) -> Result<(Manifest, u64), Damage> {
        self.read_manifest_in(&self.paths.manifest()).await
    }

    /// The manifest of a savepoint whose disposal was begun.
    pub(super) async fn read_withdrawn_manifest(&self) -> Result<Manifest, Damage> {
        let read = self.read_manifest_in(&self.paths.pending_manifest()).await;
        read.map(|(manifest, _)| manifest)
    }

    async fn read_manifest_in(&self, path: &BlobPath) -> Result<(Manifest, u64), Damage> {
        let content = match self.blobs.read(path).await {
            Ok(content) => content,
            Err(StorageError::NotFound { .. }) => return Err(Damage::Incomplete),
            Err(error) => return Err(unreadable(error)),
        };
        let manifest = manifest_file::decode(&content)?;
        Ok((manifest, content.len() as u64))
    }

    /// Whether all objects are there and long enough.
    pub(super) async fn check(&self, manifest: &Manifest) -> Result<(), Damage> {
        let looks = extents(manifest)
            .into_iter()
            .map(|(object, extent)| self.check_object(object, extent));
        // In their order: of several that are wrong it is always the same that is named.
        stream::iter(looks)
            .buffered(CONCURRENT_LOOKS_MAX)
            .try_collect()
            .await
    }

    async fn check_object(&self, object: ObjectName, extent: Extent) -> Result<(), Damage> {
        let length = match self.blobs.length(&self.paths.object(&object)).await {
            Ok(length) => length,
            Err(error) => return Err(not_handed_out(object, error)),
        };
        if length < extent.end {
            return Err(Damage::TruncatedObject {
                object,
                length,
                expected: extent.end,
            });
        }
        Ok(())
    }

    /// Reads and verifies what the manifest needs of all objects that are wanted; the others must be there at least.
    pub(super) async fn load(
        &self,
        manifest: &Manifest,
        wanted: impl Fn(&ObjectName) -> bool,
    ) -> Result<LoadedObjects, Damage> {
        // A missing or short object is noticed before gigabytes are read.
        self.check(manifest).await?;
        self.read(manifest, wanted).await
    }

    /// Reads and verifies what the manifest needs of all objects that are wanted.
    pub(super) async fn read(
        &self,
        manifest: &Manifest,
        wanted: impl Fn(&ObjectName) -> bool,
    ) -> Result<LoadedObjects, Damage> {
        let mut pieces: BTreeMap<&ObjectName, Vec<Piece>> = BTreeMap::new();
        for piece in manifest.pieces() {
            pieces.entry(&piece.object).or_default().push(piece.clone());
        }
        let reads = extents(manifest)
            .into_iter()
            .filter(|(object, _)| wanted(object))
            .map(|(object, extent)| {
                let pieces = pieces.remove(&object).unwrap_or_default();
                // A task each: copying and verifying gigabytes is work for all threads of the runtime.
                let loading = tokio::spawn(self.clone().load_object(object, extent, pieces));
                async move { loading.await.unwrap_or_else(|error| Err(given_up(&error))) }
            });
        stream::iter(reads)
            .buffer_unordered(CONCURRENT_READS_MAX)
            .try_collect()
            .await
    }

    /// Reads what is needed of an object, and verifies the pieces in it.
    async fn load_object(
        self,
        object: ObjectName,
        extent: Extent,
        pieces: Vec<Piece>,
    ) -> Result<(ObjectName, LoadedObject), Damage> {
        let path = self.paths.object(&object);
        let length = extent.end - extent.start;
        let bytes = match self.blobs.read_range(&path, extent.start, length).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(not_handed_out(object, error)),
        };
        let loaded = LoadedObject {
            start: extent.start,
            bytes,
        };
        pieces.iter().try_for_each(|piece| loaded.verify(piece))?;
        Ok((object, loaded))
    }
}

impl LoadedObject {
    fn verify(&self, piece: &Piece) -> Result<(), Damage> {
        let found = Checksum::of(&self.section(piece).unwrap_or_default());
        if found == piece.checksum {
            return Ok(());
        }
        Err(Damage::ObjectChecksum {
            object: piece.object.clone(),
            offset: piece.offset,
            expected: piece.checksum,
            found,
        })
    }

    /// The bytes of a piece, without a copy, if they were read.
    pub(super) fn section(&self, piece: &Piece) -> Option<Bytes> {
        let start = usize::try_from(piece.offset.checked_sub(self.start)?).ok()?;
        let length = usize::try_from(piece.length).ok()?;
        let end = start.checked_add(length)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }
}

/// The bytes of a piece, without a copy; none of a piece that is not among these objects.
pub(super) fn section(objects: &LoadedObjects, piece: &Piece) -> Bytes {
    let object = objects.get(&piece.object);
    object
        .and_then(|object| object.section(piece))
        .unwrap_or_default()
}

/// What a manifest needs of each object, in the order of their names.
fn extents(manifest: &Manifest) -> BTreeMap<ObjectName, Extent> {
    let mut extents: BTreeMap<ObjectName, Extent> = BTreeMap::new();
    for Piece {
        object,
        offset,
        length,
        ..
    } in manifest.pieces()
    {
        let end = offset.saturating_add(*length);
        let extent = extents.entry(object.clone()).or_insert(Extent {
            start: *offset,
            end,
        });
        extent.start = extent.start.min(*offset);
        extent.end = extent.end.max(end);
    }
    extents
}

/// Why an object is not had.
fn not_handed_out(object: ObjectName, error: StorageError) -> Damage {
    match error {
        StorageError::NotFound { .. } => Damage::MissingObject { object },
        error => unreadable(error),
    }
}

fn unreadable(error: StorageError) -> Damage {
    Damage::Unreadable {
        reason: Error::from(error).full_message(),
    }
}

/// The task that read an object has panicked, or its runtime has ended.
fn given_up(error: &JoinError) -> Damage {
    Damage::Unreadable {
        reason: format!("reading it was given up: {error}"),
    }
}
