//! Stores: table, delta and base of one state put together, in one of two layouts.

mod epochs;
mod fixed;
mod layout;
mod noting;
mod ownership;
mod resume;
mod setup;
mod variable;

pub(super) use fixed::FixedStore;
pub(super) use layout::{Store, has_fixed_layout};
pub(super) use ownership::Ownership;
pub(super) use setup::{SealedParts, StoreSetup, SurvivingStore};
pub(super) use variable::VariableStore;
