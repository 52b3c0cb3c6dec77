//! Keyed state: archived values that are changed where they lie, and a delta log that is the snapshot.
//!
//! What belongs to no key is operator state: see [`operator_state`].
//!
//! A [`KeyedStateBackend`] belongs to one operator subtask, and so to one thread. It gives out handles to named states:
//! [`ValueState`] (one value for each key) and [`MapState`] (one record for each entry of each key's map). At a barrier
//! [`KeyedStateBackend::seal`] gives, for each state, the bytes that a checkpoint needs.
//!
//! # How it works
//!
//! **Table.** Each owned key group has a directory of sub-tables (extendible hashing) made of buckets of one cache line. A
//! batch is worked off in stages of 32 keys: hash all and prefetch their buckets, find all and prefetch their delta
//! records, then update all. A sub-table doubles up to 32 KiB and is split in two from then on, so no insertion takes
//! longer than moving some 1,200 records.
//!
//! **Two layouts.** Where rkyv says that a type's archive is the type's own bytes (numbers, arrays of them, structs of them
//! that have no padding and derive rkyv's traits), and a bucket holds at least two records, key and value lie in the
//! slot: the *fixed* layout. Everything else (strings, tuples, large values) takes the *variable* layout: the slot holds
//! the hash and a reference to a block of the heap, in which both lie archived.
//!
//! **Delta.** The first time a record is touched in an epoch, it is appended to the epoch's delta; later touches patch it
//! there. So the delta is at every moment what a checkpoint would need, and the barrier only writes a footer. A deletion
//! is a record too.
//!
//! **Base.** When the deltas since the last base have grown beyond the size of the state, and beyond 1 MiB, a new base is
//! begun: all records, copied in slices between batches by [`KeyedStateBackend::copy_base_slice`], in the order of key
//! groups and hashes, which the growth of the table keeps. The first barrier after the last slice takes the base along.
//! It is fuzzy: slices are from different moments. That is mended by the deltas from its first epoch on, which hold whole
//! values.
//!
//! **Restore.** Base, then deltas, in order; of each piece only the records whose key group counts. Every length is
//! checked, and every archive is checked once (a checksum over the whole piece is the reader's affair); what is damaged
//! is an error.
//!
//! **Schemas.** A checkpoint says how each state's keys and values are laid out, in words ([`StateSchema`]), and with which
//! version the state was registered. What differs from what is registered now is read by a migration of the user's
//! ([`StateSpec::with_migration`]) or not at all. A migration puts each stored record into the new state, so that the first
//! delta holds all of it; an empty base goes with that delta, and says that nothing before it counts.
//!
//! # Memory
//!
//! All of it lies in memory-mapped files of 1 to 64 MiB, which all states of a subtask share. Blocks are reserved on the
//! disk before they are touched, so that a full disk is an error. Sealed chunks of deltas and bases are shared with whoever
//! writes them out, and come back when the last of their [`bytes::Bytes`] is dropped, on whichever thread.
//!
//! # The format of bases and deltas
//!
//! All numbers are little-endian. A piece is its records, a trailer, and a footer. The footer:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | bytes of all records |
//! | 8 | 8 | number of records |
//! | 16 | 8 | number of deletions among them |
//! | 24 | 4 | fixed: size of a key; variable: 0 |
//! | 28 | 4 | fixed: size of a value; variable: 0 |
//! | 32 | 2 | version of this format: 1 |
//! | 34 | 1 | kind: 0 delta, 1 base |
//! | 35 | 1 | records: 0 fixed, 1 variable |
//! | 36 | 4 | `FMrk` |
//!
//! A fixed record:
//!
//! | size | content |
//! |---|---|
//! | size of a key | the key |
//! | size of a value | the value; of a deletion, the last one |
//! | up to 7 | zeros, up to a multiple of 8 |
//!
//! The trailer of a fixed delta is the numbers of the records that are deletions, 4 bytes each, in no order, and zeros up
//! to a multiple of 8. Variable pieces and bases have no trailer. A variable record:
//!
//! | size | content |
//! |---|---|
//! | 4 | length of the key |
//! | 4 | length of the value; 2³² − 1 for a deletion |
//! | length of the key | the key, then zeros up to a multiple of 8 |
//! | length of the value | the value, then zeros up to a multiple of 8 |
//!
//! Keys and values are rkyv archives (0.8, little-endian, aligned, 32-bit pointers) whose root is at their end. The key of
//! a map's entry is, in fixed records, the key and the map key one after the other; in variable ones, the key's archive,
//! zeros up to a multiple of 16, the map key's archive, and the length of the key's archive in 4 bytes. A key group follows
//! from the hash of the key's archive alone.
//!
//! # What is unsafe, and why
//!
//! - `segment` maps files, and cuts them into regions with one owner each.
//! - `table::bucket` reads and writes keys and values where they lie in a bucket.
//! - `archive` and `heap` use archives where they lie, without checking them again: they were written by this process, or
//!   checked when they were restored.

#[expect(
    unsafe_code,
    reason = "archived keys and values are used where they lie"
)]
mod archive;
mod arena;
mod backend;
mod base;
mod cell;
mod changes;
mod chunk;
mod compatibility;
mod descriptor;
#[expect(
    unsafe_code,
    reason = "archived keys and values are used where they lie"
)]
mod heap;
mod key_hasher;
mod ledger;
mod log;
mod map_state;
mod migration;
pub mod operator_state;
mod piece;
mod pools;
mod scan;
mod schema;
mod sealed;
#[expect(
    unsafe_code,
    reason = "memory-mapped files are cut into regions with one owner each"
)]
mod segment;
mod spec;
mod store;
mod table;
mod undo;
mod value_state;

pub use archive::{StateKey, StateValue};
pub use backend::{KeyedStateBackend, LocalRecovery, StateSettings};
pub use cell::StateStatistics;
pub use descriptor::{RecordFormat, StateDescriptor, StateKind};
pub use key_hasher::KeyHasher;
pub use map_state::MapState;
pub use operator_state::{
    BroadcastState, OperatorListState, OperatorStateBackend, OperatorStateDescriptor,
    OperatorStateKind, RestoredSections, SealedOperatorState,
};
pub use rkyv::Archived;
pub use rkyv::seal::Seal;
pub use scan::ScanCursor;
pub use schema::{SchemaFields, SchemaText, StateSchema};
pub use sealed::{
    Epoch, LocalBarrier, RestoredPart, RestoredParts, RestoredState, SealedBase, SealedBytes,
    SealedState,
};
pub use spec::StateSpec;
pub use value_state::ValueState;

#[cfg(test)]
mod test_backend;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use test_backend::test_backend;
