//! Operator state: what an operator subtask keeps that belongs to no key.
//!
//! An [`OperatorStateBackend`] belongs to one operator subtask. An operator registers its states when it is opened, each
//! under a name, and keeps the handles. There are three kinds, told apart by what a restore does with them:
//!
//! | kind | handle | what a subtask is given back |
//! |---|---|---|
//! | *list state* | [`OperatorListState`] | its own items; at another parallelism, all items of all subtasks, in order, are dealt out one by one, and so are those of the operator's next list state from there on |
//! | *union list state* | [`OperatorListState`] | all items of all subtasks, in order |
//! | *broadcast state* | [`BroadcastState`] | the map of one former subtask: of subtask *i*, that of *i* modulo the former parallelism |
//!
//! A list state is for work that any subtask can take over: splits of an input, records that wait. A union list state is
//! for what every subtask must know of all others; each picks its own part out of it and puts that part in its place, or
//! the list grows with every restore. A broadcast state is for what all subtasks are told by a broadcast stream
//! ([`crate::graph::Stream::broadcast`]), such as rules: it is on the operator to make the same of it everywhere, since
//! the copies are not compared.
//!
//! A checkpoint says with which version and which [schema](super::StateSchema) each state was written. Items and values of
//! another version or schema are read by a migration of the user's ([`StateSpec`](super::StateSpec)) or not at all; a
//! restore that finds none fails, and says both versions. Keys of a broadcast state cannot be migrated.
//!
//! # What it costs
//!
//! Operator state is small by nature, so it is held as ordinary values in memory, and a barrier serialises it whole. The
//! subtask stands still for that: some 35 ns for a number in a list, 80 to 200 ns for an entry of a map with two short
//! texts, so a thousand of either add less than 0.2 ms to each barrier. A state that has not changed since the barrier
//! before is not serialised again: its bytes are shared. Each checkpoint stores all of it all the same, so that it needs
//! no other. What is large, or has a key, belongs in keyed state ([`crate::state::KeyedStateBackend`]).
//!
//! # The format of a section
//!
//! A barrier makes one section of each state. Where it is stored and what its checksum is, the manifest says. All numbers
//! are little-endian. First comes a header:
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 4 | `FMos` |
//! | 4 | 2 | version of this format: 1 |
//! | 6 | 1 | kind: 0 list, 1 union list, 2 broadcast |
//! | 7 | 1 | zero |
//! | 8 | 8 | number of items, or of the map's entries |
//!
//! Then one value for each item, in the list's order, or two for each entry of the map, the key and what it leads to, in
//! the order of the keys. A value is
//!
//! | size | content |
//! |---|---|
//! | 4 | length of the archive |
//! | that length | the rkyv archive (0.8, little-endian, aligned, 32-bit pointers), its root at its end |
//!
//! without padding: each archive is copied to aligned memory and checked when it is read.

mod backend;
mod broadcast;
mod cell;
mod descriptor;
mod list;
mod restored;
mod section;

pub use backend::OperatorStateBackend;
pub use broadcast::BroadcastState;
pub use descriptor::{OperatorStateDescriptor, OperatorStateKind};
pub use list::OperatorListState;
pub use restored::{RestoredSections, SealedOperatorState};
pub(super) use section::{SectionReader, SectionWriter};

#[cfg(test)]
mod tests;
