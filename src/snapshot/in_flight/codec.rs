//! The contract of what turns the batches of an exchange into bytes.

use crate::error::Result;
use crate::model::Batch;

/// Turns the batches of one exchange into bytes, and back.
pub trait BatchCodec: Send + Sync {
    /// How the bytes are laid out, in words. Only a codec with the same words can read them.
    fn schema(&self) -> String;

    /// The bytes of a batch.
    ///
    /// # Errors
    /// When the batch is not of the exchange's type, or cannot be stored.
    fn encode(&self, batch: Batch) -> Result<Vec<u8>>;

    /// The batch that the bytes were made of.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when they were made of none.
    fn decode(&self, bytes: &[u8]) -> Result<Batch>;
}
