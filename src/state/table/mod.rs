//! The table: extendible hashing over sub-tables of cache-line buckets.
//!
//! Each owned key group has a directory, indexed by the topmost bits of the hash's low 48 bits; what it points to are
//! sub-tables of at most 32 KiB. A full sub-table is doubled until it has that size, and split in two from then on, so
//! no insertion ever moves more than one of them.

#[expect(
    unsafe_code,
    reason = "keys and values are read and written where they lie in a bucket"
)]
mod bucket;
mod directory;
mod growth;
mod index;
mod moves;
mod record_check;
mod resume;
#[expect(
    unsafe_code,
    reason = "headers and buckets are found by their address in a block"
)]
mod sub_table;

pub(super) use bucket::{Slot, prefetch, slots_in_bucket};
pub(super) use directory::Cursor;
pub(super) use index::{Home, Table};
pub(super) use record_check::record_check;
