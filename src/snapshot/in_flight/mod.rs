//! What was in flight at an unaligned checkpoint: how it is turned into bytes and back. The format is in the documentation
//! of [`crate::snapshot`].

mod codec;
mod columns;
mod sealed;
mod section;
#[cfg(test)]
mod tests;

pub use codec::BatchCodec;
pub use columns::ColumnCodec;
pub use sealed::{InFlightEntry, RestoredInFlight, SealedInFlight};
pub use section::{decode_section, encode_section};
