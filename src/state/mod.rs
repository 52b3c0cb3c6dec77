//! state
mod descriptor;
mod sealed;

pub use descriptor::{RecordFormat, StateDescriptor, StateKind};
pub use sealed::{Epoch, RestoredPart, RestoredState, SealedBase, SealedBytes, SealedState};

/// Placeholder until the state module is merged.
pub struct KeyedStateBackend;
