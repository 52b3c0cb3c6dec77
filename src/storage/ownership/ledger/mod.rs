//! The ledger of a job whose checkpoints lie in a bucket: who owns it, and which ids its checkpoints may have.
//!
//! A bucket has no locks, no rename and no order of what is listed. It can do two things that this relies on: create an
//! object only if there is none, and show an object to whoever asks for it by its name once it was created.
//!
//! # The ledger
//!
//! `<root>/<job>/ledger/1.json`, `2.json` and so on are its *records*. Each is created if there is none of that number, right
//! after the last one, and none is ever changed or deleted; so of several processes that write at the same time one writes
//! the next record, and the others know that they did not. There are three kinds:
//!
//! - a process *claims* the job: the generation is one more than in the record before;
//! - an owner *reserves* the ids that its next checkpoints may have, 32 at a time;
//! - an owner *ends*, and gives back the ids that it has not used.
//!
//! The owner is whoever wrote the newest record. It finds out that it is not any more by looking whether there is a record
//! after its own. Where the newest is, `owner.json` says; that is a hint only, from which it is searched: since the numbers
//! have no gaps, some twenty looks find the newest among a million.
//!
//! # Why the loser cannot commit
//!
//! What makes a checkpoint complete is that its manifest is created, if there is none. An owner creates manifests of ids
//! only that a record of its own has reserved. A process that claims the job therefore knows from the record before its own
//! all ids that former owners can still use, whatever they do from now on: to reserve more, they would have to write
//! the very record that the claim has written. It creates *tombstones* as manifests of all those ids, from the newest
//! checkpoint that the ledger knows of on, and then looks for the newest checkpoint. Of each id either
//!
//! - the tombstone was first: then the former owner's manifest is refused, whenever it comes; or
//! - the manifest was first: then the tombstone is refused, and the checkpoint is among those from which the newest is
//!   chosen.
//!
//! Which of the two it was, both find out. An answer that is lost is made up for by looking at what is there. A request that
//! the network delivers late, even after its process has ended, changes nothing, because it has its condition with it. An
//! owner that has failed and starts anew treats its own former attempts in the same way.
//!
//! Output is committed on account of complete checkpoints only, and after another look, as on a disk.
//!
//! # What is never asked
//!
//! No decision hangs on a list: it may show what is gone, and not yet what is there. The records name the complete
//! checkpoints; the ids that were reserved since are all looked at. Listing finds what can be cleaned up.

mod log;
mod record;
mod shared;
mod state;

pub(super) use log::LedgerLog;
pub use record::{IdRange, LedgerRecord};
pub use shared::Ledger;
