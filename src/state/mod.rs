//! Keyed state.
#[expect(
    unsafe_code,
    reason = "archived keys and values are used where they lie"
)]
mod archive;
mod arena;
mod backend;
mod base;
mod cell;
mod chunk;
mod delta;
mod descriptor;
#[expect(
    unsafe_code,
    reason = "archived keys and values are used where they lie"
)]
mod heap;
mod key_hasher;
mod log;
mod map_state;
mod piece;
mod scan;
mod sealed;
#[expect(
    unsafe_code,
    reason = "memory-mapped files are cut into regions with one owner each"
)]
mod segment;
mod store;
mod table;
mod value_state;

pub use archive::{StateKey, StateValue};
pub use backend::{KeyedStateBackend, StateSettings};
pub use cell::StateStatistics;
pub use descriptor::{RecordFormat, StateDescriptor, StateKind};
pub use key_hasher::KeyHasher;
pub use map_state::MapState;
pub use rkyv::Archived;
pub use rkyv::seal::Seal;
pub use scan::ScanCursor;
pub use sealed::{Epoch, RestoredPart, RestoredState, SealedBase, SealedBytes, SealedState};
pub use value_state::ValueState;

#[cfg(test)]
mod test_backend;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use test_backend::test_backend;
