//! Keyed state: archived values that are changed where they lie, and deltas and bases that are the snapshot.
//!
//! What belongs to no key is operator state: see [`operator_state`].
//!
//! A [`KeyedStateBackend`] belongs to one operator subtask, and so to one thread. It gives out handles to named states.
//! At a barrier [`KeyedStateBackend::seal`] gives, for each of them, the bytes that a checkpoint needs.
//!
//! # The kinds of state
//!
//! | kind | holds | records |
//! |---|---|---|
//! | [`ValueState`] | a value for each key | one for each key |
//! | [`EntryState`] | a value for each pair of a key and an entry key | one for each pair |
//! | [`MapState`] | a map for each key, whose entries can be listed | one for each entry, and an index |
//! | [`ListState`] | a list for each key | one for each element, and one for each list's bounds |
//! | [`ReducingState`] | for each key what a function made of all values added | one for each key |
//! | [`AggregatingState`] | for each key an accumulator of all values added | one for each key |
//!
//! All of them consist of records, and nothing below knows of kinds. A map or a list has several sets of records. The one
//! with the values goes by the state's own name, the others are its *parts*, named `<state>/<part>`. They are sealed at the
//! same barriers and restored like any other state, so they are always in step; figures and errors show the state's name.
//!
//! The index of a map says in which *slot* of its key each entry stands (`slots`), which entry stands in each slot
//! (`index`), and how many slots each key has (`sizes`). Slots have no gaps: when an entry goes, the one of the last slot
//! takes its place. Touching an entry touches no index. The bounds of a list (`bounds`) are the position of its first
//! element and the one behind its last; positions only grow while a list is not empty, so an element never moves.
//!
//! # Time-to-live
//!
//! A state can be registered with a [`StateTtl`]. Each value then lies with its *end*, a moment of processing time, and
//! whatever reads a record first compares that with the time. The time is read by [`KeyedStateBackend::advance_time`] and
//! stands still until the next call, so that all states of an operator agree on it throughout a batch.
//! [`KeyedStateBackend::sweep_slice`] walks over the records between batches and removes those whose time is over, by an
//! ordinary removal that takes a map's index along and is in the delta. Where nothing is added, a slice visits a sub-table
//! or two and removes 64 records at most; it does more, in proportion, while records are added, so that a state that keeps
//! growing at its head shrinks as fast at its tail.
//!
//! # How it works
//!
//! **Table.** Each owned key group has a directory of sub-tables (extendible hashing) made of buckets of one cache line. A
//! batch is worked off in stages of 32 keys: hash all and prefetch their buckets, then find and update all. A sub-table
//! doubles up to 32 KiB and is split in two from then on, so no insertion takes longer than moving some 1,000 records. As
//! hashes are spread evenly, all sub-tables are full at about the same time; so each insertion earns four moves, a
//! sub-table is split at five eighths if that is earned, and at four fifths in any case.
//!
//! **Two layouts.** Where rkyv says that a type's archive is the type's own bytes (numbers, arrays of them, structs of them
//! that have no padding and derive rkyv's traits), and a bucket holds at least two records, key and value lie in the
//! slot: the *fixed* layout. Everything else (strings, tuples, large values) takes the *variable* layout: the slot holds
//! the hash and a reference to a block of the heap, in which both lie archived.
//!
//! **Delta.** A touch sets a bit of the record in the bucket's own cache line, and the first one in a bucket notes the
//! bucket in a list. At the barrier nothing is copied: the epoch becomes the *pending* one, and its records are gathered from
//! the table in slices between batches ([`KeyedStateBackend::gather`]), by the list, or all in order when more than a fifth
//! of the buckets is in it. A record that is touched again before its turn is written to the pending delta first, as it
//! was at the barrier. A deletion is written down at once. Where checkpoints are not incremental, none of this is done:
//! each barrier copies all there is.
//!
//! **Base.** When the deltas since the last base have grown beyond three quarters of the state's size, and beyond 1 MiB, a
//! new base is begun: all records, copied in slices between batches by [`KeyedStateBackend::copy_base_slice`], in the order
//! of key groups and hashes, which the growth of the table keeps. The first barrier after the last slice takes the base
//! along. It is fuzzy: slices are from different moments. That is mended by the deltas from its first epoch on, which hold
//! whole values. A large one goes out through a [`BaseOutlet`] as it is copied, and copying waits when that has no room: the
//! barrier takes along that it is durable. One that could not be stored is copied anew.
//!
//! **All at once.** When more than half of the buckets were touched in an epoch, and the state is larger than 64 KiB, the
//! barrier gives no delta but an exact base: in the long run that is less than the delta and its share of the next base. A
//! record that is touched before its turn is written first, as it was at the barrier; its touch tells the round to leave it
//! out. A sub-table remembers the last round that has been in it, and what is split off takes that along, so that no record
//! is written twice.
//!
//! **Without marks.** In a state of more than 1 MiB touches need not be marked while nothing is being gathered. Where they
//! fell on most records, the next epoch notes none: the barrier would give all there is anyway, and does, if there was a
//! single one. Where hardly any record was touched twice, and none was deleted, each value of a fixed record is appended to
//! the delta when it is written, which takes less than going to find it again; a deletion, or more than half of the state's
//! size, ends that, and the barrier gives all there is. Every 64 epochs one is marked, to see whether it is still so. With
//! local recovery all epochs are marked.
//!
//! **Local recovery.** With [`LocalRecovery`], the segments lie in files, a *ledger* says who owns which region, and before a
//! record is first touched in an epoch, what it was is noted in an *undo log*, which never leaves the machine. When the
//! process is killed, the next one maps the segments, finds the sub-tables and blocks by their headers, verifies them, and
//! takes back the epochs that the newest checkpoint does not cover.
//!
//! **What is verified.** Every bit that means anything is in a checksum that is right at every moment, so that a flipped bit,
//! a page that is lost or an older one, a foreign file and a change of structure cut in half are noticed, and the checkpoint
//! is read:
//!
//! - Each bucket has a check of 32 bits, over the records that were not touched since the last barrier that was gathered. A
//!   record leaves it in the store that says that the record is touched, and comes back when it is gathered. An empty
//!   bucket's check depends on its place, so that a page of zeros is no page of empty buckets.
//! - What is touched is not in the check, and need not be: the undo logs of epochs that no checkpoint covers say what it
//!   was. When all is taken back, nothing may be left that counts as touched.
//! - Each block of the heap has a check of its lengths, key and value, which is right while its record is in its bucket's
//!   check, and one of its size. Every record must have a block of its own.
//! - Each chunk of an undo log has a checksum of its header, and a running one of its records.
//! - The ledger's entries and numbers have checks, and it has, for each state, the sum of the headers of its sub-tables in
//!   use and that of its chunks of undo logs: what is missing is noticed too.
//!
//! Records are not checked one by one then: a bucket whose check is right is what this version wrote there. Where no later
//! process is to take the segments up, no check is kept, and none costs anything.
//!
//! **Timers.** [`Timers`] are entry states, in which an entry is a key and a time, with an index by time beside them.
//!
//! **Restore.** Base, then deltas, in order; of each piece only the records whose key group counts. Every length is
//! checked, and every archive is checked once (a checksum over the whole piece is the reader's affair); what is damaged
//! is an error.
//!
//! **Schemas.** A checkpoint says how each state's keys and values are laid out, in words ([`StateSchema`]), and with which
//! version the state was registered. What differs from what is registered now is read by a migration of the user's
//! ([`StateSpec::with_migration`]) or not at all. A migration puts each stored record into the new state, so that the first
//! delta holds all of it; an empty base goes with that delta, and says that nothing before it counts. A value with a
//! time-to-live is migrated and keeps its end. A state that has got a time-to-live since, or has lost it, is read by a
//! migration of Floodmark's own; of one that has lost it, values whose time is over are left out, and the index of a map and
//! the bounds of a list brought in step. The parts of a map or a list are of Floodmark's own making, and are never
//! migrated. A state that is migrated is read from the checkpoint, even if the segments of a killed process are there.
//!
//! # Memory
//!
//! All of it lies in memory maps of 1 to 32 MiB, which all states of a subtask share: of files, whose blocks are reserved
//! before they are touched, so that a full disk is an error; or, where nothing is to survive the process, of anonymous
//! memory, for which most systems give huge pages when asked. (For files on tmpfs they do so only when
//! `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says `advise` or more; they are asked all the same.) Sealed chunks of
//! deltas and bases are shared with whoever writes them out, and come back when the last of their [`bytes::Bytes`] is
//! dropped, on whichever thread.
//!
//! From the second map on, a thread of the backend's own has the next one ready before it is wanted, two at most and so
//! 64 MiB: made, and its blocks reserved or its pages touched. A state that is content with 1 MiB has none of this.
//!
//! # Why deltas are gathered
//!
//! `cargo bench --bench state_schemes` has prototypes of the ways to make a table of cache-line buckets snapshottable: two
//! partitions on two cores, u64 keys, i64 sums, uniform keys, a checkpoint each 100 ms whose bytes are written and synced;
//! millions of updates a second of both together, and as a share of the table that saves nothing. It was busy on the
//! machine, so this is by processor time (`--processor-time --direct true`); every run is restored from its files and compared.
//!
//! | scheme | 1 M keys | 10 M keys | barrier, worst | note |
//! |---|---|---|---|---|
//! | nothing saved | 114 | 73-76 | | |
//! | **gather after the barrier** | 115 (101 %) | 46-47 (60-64 %) | 1 µs | taken |
//! | the same, all of it when much was touched | 109 (96 %) | 44 (58 %) | 1 µs | fewest bytes at full churn |
//! | undo log, a second thread gathers | 99 (86 %) | 43-46 (56-63 %) | 530 µs to 3 ms | 29-60 % of checkpoints late at 10 M |
//! | delta log, patched at each touch | 71 (62 %) | 38-42 (50-57 %) | 560 µs | a second cache line at each touch |
//! | log of versions, with its compaction | 33 (29 %) | 22 (28 %) | 400 µs to 5 ms | |
//!
//! An undo log beside the gathering, for local recovery, takes 15 to 20 points more at 1 M keys.
//!
//! # The format of bases and deltas
//!
//! All numbers are little-endian. A piece is its records, deletions first, and a footer. In a delta the same key can come
//! several times: the last record counts. The footer:
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
//! A variable record:
//!
//! | size | content |
//! |---|---|
//! | 4 | length of the key |
//! | 4 | length of the value; 2³² − 1 for a deletion |
//! | length of the key | the key, then zeros up to a multiple of 8 |
//! | length of the value | the value, then zeros up to a multiple of 8 |
//!
//! Keys and values are rkyv archives (0.8, little-endian, aligned, 32-bit pointers) whose root is at their end. The key of
//! an entry is, in fixed records, the key and the entry key one after the other; in variable ones, the key's archive,
//! zeros up to a multiple of 16, the entry key's archive, and the length of the key's archive in 4 bytes. A key group
//! follows from the hash of the key's archive alone. With a time-to-live the root of a value's archive is the value's end,
//! 8 bytes, in milliseconds since the Unix epoch, and behind it, aligned, the value's own root. Slots and positions are
//! 8 bytes, little-endian.
//!
//! # What is unsafe, and why
//!
//! - `memory` maps files and memory, and `segment` cuts them into regions with one owner each.
//! - `table::bucket` and `table::sub_table` read and write keys, values and flags where they lie.
//! - `archive` and `heap` use archives where they lie, without checking them again: they were written by this process, or
//!   checked when they were restored, or are what such a process left, as their checksums say.
//! - `expiring` says of a value and its end together what rkyv says of the value alone, and replaces values in place.

mod aggregating_state;
#[expect(
    unsafe_code,
    reason = "archived keys and values are used where they lie"
)]
mod archive;
mod archives;
mod arena;
mod backend;
mod base;
mod base_outlet;
mod block_set;
mod cell;
mod changes;
mod chunk;
mod compatibility;
mod descriptor;
mod entry_index;
mod entry_state;
#[expect(
    unsafe_code,
    reason = "a value lies beside its end and is changed in place"
)]
mod expiring;
#[expect(
    unsafe_code,
    reason = "archived keys and values are used where they lie"
)]
mod heap;
mod key_hasher;
mod key_parts;
mod ledger;
mod list_state;
mod log;
mod map_state;
#[expect(unsafe_code, reason = "addresses within a mapped file are handed out")]
mod memory;
mod migration;
pub mod operator_state;
mod piece;
mod pools;
mod records;
mod reducing_state;
mod registration;
pub mod rows;
mod scan;
mod schema;
mod sealed;
#[expect(
    unsafe_code,
    reason = "memory-mapped files are cut into regions with one owner each"
)]
mod segment;
mod spec;
pub(crate) mod state_name;
mod store;
mod sweep;
mod table;
mod time_to_live;
mod timers;
mod undo;
mod value_state;

pub use aggregating_state::{AggregateFunction, AggregatingState};
pub use archive::{StateKey, StateValue};
pub use archives::{archive_schema, archive_values, restore_values};
pub use backend::{KeyedStateBackend, LocalRecovery, StateSettings};
pub use base_outlet::{BaseOutlet, BaseStream, BaseWay, StreamProgress};
pub use cell::StateStatistics;
pub use descriptor::{RecordFormat, StateDescriptor, StateKind};
pub use entry_state::EntryState;
pub use key_hasher::KeyHasher;
pub use list_state::ListState;
pub use map_state::MapState;
pub use operator_state::{
    BroadcastState, OperatorListState, OperatorStateBackend, OperatorStateDescriptor,
    OperatorStateKind, RestoredSections, SealedOperatorState,
};
pub use reducing_state::ReducingState;
pub use rkyv::Archived;
pub use rkyv::seal::Seal;
pub use scan::ScanCursor;
pub use schema::{SchemaFields, SchemaText, StateSchema};
pub use sealed::{
    BaseContent, Epoch, LocalBarrier, RestoredPart, RestoredParts, RestoredState, SealedBase,
    SealedBytes, SealedState,
};
pub use spec::StateSpec;
pub use time_to_live::{StateTtl, TtlUpdate};
pub use timers::{Timer, Timers};
pub use value_state::ValueState;

#[cfg(test)]
mod test_backend;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use test_backend::{test_backend, test_backend_at};
