//! Stores: table, delta and base of one state put together, in one of two layouts.

mod fixed;
mod layout;
mod ownership;
mod variable;

use super::sealed::{SealedBase, SealedBytes};

pub(super) use fixed::FixedStore;
pub(super) use layout::{Store, has_fixed_layout};
pub(super) use ownership::Ownership;
pub(super) use variable::VariableStore;

/// What a barrier gives of one state: its delta, and a base if one was finished.
pub(super) type SealedParts = (SealedBytes, Option<SealedBase>);
