//! Segments: memory-mapped files that all of a state's bytes lie in, cut into regions with one owner each.
//!
//! Blocks are reserved with `fallocate` before they are touched: a full tmpfs or disk is then an error here, and not a
//! SIGBUS at some later store. Under miri, which has no files to map, a segment is heap memory.
//!
//! The first page of each segment says which one it is, and the ledger says who owns which region, so that a later
//! process can take them up again.
//!
//! Fresh memory is slow: a page has to be found and cleared, and a virtual machine may have to ask its host for it first,
//! which was seen to take 6 ms for one huge page. So a thread of its own has the next segments ready for a state that
//! has outgrown the first one: made, and reserved or touched. Only when it is behind, the writer makes a segment
//! itself, whose small pages come one by one as they are touched.

mod folder;
mod maker;
mod pool;
mod preparer;
mod region;

pub(super) use pool::{SegmentPool, Survivors};
pub(super) use region::Region;
