//! Who may write for a job: one process at a time, and the one that lost the job finds out before it commits anything.
//!
//! # The record
//!
//! `<root>/<job>/owner.json` names the owner, with a *generation* that only grows: each process that takes the job over
//! writes a greater one. As long as it works, the owner holds the operating system's lock on a file of its generation,
//! which goes with the process, however that ends. So a crashed owner is seen to be gone at once, and one that lives is
//! left alone, unless it is told otherwise: a process that hangs keeps its lock and cannot be asked.
//!
//! # Why the loser cannot commit
//!
//! What makes a checkpoint complete is one rename: of a manifest that is pending, under a name with the generation in it.
//! An owner writes the pending manifest, *then* looks whether it is still the owner, then renames. A process that takes
//! over writes its record, *then* deletes all pending manifests, then looks for the newest checkpoint. Whatever the order
//! in which the two get to it, and however long one of them stands still in between:
//!
//! - if the pending manifest was written after the deletion, the look comes after the record, and sees it;
//! - if it was written before, it is deleted, and then the rename finds nothing; or the rename was first, and the
//!   process that takes over sees the checkpoint and goes on from it.
//!
//! Output is committed on account of complete checkpoints only, and after another look. If the job changes hands between
//! the look and the commit, the commit repeats what the new owner has done when it went on from that checkpoint, which
//! changes nothing.
//!
//! # Other machines
//!
//! The lock tells who lives as far as locks reach. On a file system that gives none, the claim fails, and nothing is
//! started. On one that gives them but does not pass them on to other machines, a holder elsewhere looks as if it were
//! gone, and the job is taken from it without a word; even then it finds out, and commits nothing any more.
//!
//! # Buckets
//!
//! Two processes that take a job over at the same moment are kept apart by a file lock, for a file system can replace a
//! file only without a condition. A bucket needs no such lock, and has none, nor can it rename: there the owners write a
//! [`ledger`]. Whether an owner lives a lock says if it runs on the same machine, at once; otherwise its [`heartbeat`].

mod bucket_claim;
mod claim;
mod fence;
mod heartbeat;
mod job_lock;
mod ledger;
mod machine;
mod record;
#[cfg(test)]
mod tests;

use claim::decide;
use fence::lost;

pub use bucket_claim::BucketClaim;
pub use claim::{Claim, Claimant, Holder};
pub use fence::Fence;
pub use heartbeat::Heartbeat;
pub use job_lock::{ClaimLock, JobLock};
pub use ledger::{IdRange, Ledger, LedgerRecord};
pub use machine::MachineMark;
pub use record::OwnerRecord;
