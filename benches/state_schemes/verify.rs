//! Whether what lies on the disk is what the scheme has in memory: a scheme that saves nonsense is not worth measuring.

use std::path::Path;

use crate::chunk::{PADDING, RECORD_BYTES};
use crate::generator::Keys;
use crate::writer::{Checkpoint, Piece};

/// Restores the checkpoint from its files and compares every sum.
pub(crate) fn verify(
    folder: &Path,
    checkpoint: Checkpoint,
    keys: Keys,
    sum: impl Fn(u64) -> i64,
) -> Result<(), String> {
    let mut restored = vec![None; keys.count as usize];
    let base = Piece::Base(checkpoint.first_epoch);
    let deltas = (checkpoint.first_epoch..=checkpoint.epoch).map(Piece::Delta);
    for piece in std::iter::once(base).chain(deltas) {
        let path = piece.path(folder);
        // The log of versions has no base; if one is missing elsewhere, keys are missing below.
        if piece == base && !path.exists() {
            continue;
        }
        let bytes =
            std::fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        if bytes.len() % RECORD_BYTES != 0 {
            return Err(format!("{} ends within a record", path.display()));
        }
        for record in bytes.chunks_exact(RECORD_BYTES) {
            let (key, value) = record.split_at(RECORD_BYTES / 2);
            let key = u64::from_ne_bytes(key.try_into().unwrap());
            let value = i64::from_ne_bytes(value.try_into().unwrap());
            if key == PADDING {
                continue;
            }
            let Some(slot) = restored.get_mut(keys.index(key)) else {
                return Err(format!("{} has the unknown key {key}", path.display()));
            };
            *slot = Some(value);
        }
    }
    for key in keys.iter() {
        let restored = restored[keys.index(key)];
        if restored != Some(sum(key)) {
            let expected = sum(key);
            return Err(format!(
                "checkpoint {checkpoint:?} has {restored:?} for key {key}, which is {expected}"
            ));
        }
    }
    Ok(())
}
