//! The blob store: where checkpoints lie, in a folder or in a bucket. The only module that knows OpenDAL, and the only one
//! that builds a path.
//!
//! ```text
//! <root>/<job>/shared/<id>.{base,delta}     objects, referred to by any number of manifests
//! <root>/<job>/chk-<id>/<id>.state          objects that belong to this checkpoint alone
//! <root>/<job>/chk-<id>/manifest.json       written last, and there whole or not at all: this is the commit
//! <root>/<job>/owner.json                   who may write; on a disk only this file is ever replaced
//! <root>/<job>/ledger/<n>.json              the same in a bucket, where owner.json is a hint at the newest
//! <root>/<job>/heartbeat.json               in a bucket: shows other machines that the owner lives
//! <root>/<job>/probe.json                   in a bucket: means nothing, and shows what the bucket can do
//! <root>/<job>/history.json                 what became of the last checkpoints; of no use to a restore
//! <root>/<job>/server.json                  where the running job's server listens; of a job in a bucket on its machine
//! <savepoint>/<id>.{base,delta,state}       all objects of a savepoint lie beside its manifest, so it can be moved
//! <savepoint>/manifest.json
//! ```
//!
//! What makes up a snapshot is written by an exclusive create and never changed afterwards; the manifest gets its name only
//! when its content is synced, so that no crash leaves half of it. Closing a file syncs its content; the folder that names
//! it must be synced as well before a power cut can no longer take it away, and [`BlobStore::sync_folder`] does that.

mod address_file;
mod blob_store;
mod checksum;
mod error;
mod file_store;
mod folder;
mod location;
mod machine_folder;
mod object_name;
mod ownership;
mod paths;
mod scheme;
#[cfg(test)]
mod simulated_bucket;
#[cfg(any(test, feature = "testing"))]
mod simulated_disk;
mod snapshot_location;
mod snapshot_paths;

pub use address_file::{AddressFile, ServerAddress};
pub use blob_store::{BlobStore, FolderEntry, SectionWriter, StoredSection};
pub use checksum::{Checksum, ChecksumBuilder};
pub use error::StorageError;
pub use file_store::{FileStore, PendingResult};
pub use location::StoreLocation;
pub use object_name::{ObjectKind, ObjectName};
pub use ownership::{
    BucketClaim, Claim, ClaimLock, Claimant, Fence, Heartbeat, Holder, IdRange, JobLock, Ledger,
    LedgerRecord, MachineMark, OwnerRecord,
};
pub use paths::{BlobPath, StoragePaths};
#[cfg(test)]
pub(crate) use simulated_bucket::SimulatedBucket;
#[cfg(test)]
pub(crate) use simulated_disk::Fault;
#[cfg(any(test, feature = "testing"))]
pub(crate) use simulated_disk::SimulatedDisk;
pub use snapshot_location::SnapshotLocation;
pub use snapshot_paths::SnapshotPaths;
