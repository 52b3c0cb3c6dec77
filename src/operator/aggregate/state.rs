//! The keyed state of an aggregate operator: one record for each key, or one for each key and map key.

use super::number::Cell;
use super::plan::Plan;
use super::text::Texts;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::contract::OperatorContext;
use crate::state::{Archived, EntryState, ScanCursor, Seal, StateSpec, StateValue, ValueState};

/// The name of the state that holds the cells of every key: two numbers for each, its bits and its count.
pub(super) const NUMBERS: &str = "aggregate";
/// The name of the state that holds the texts of those keys that have any.
pub(super) const TEXTS: &str = "aggregate-texts";

/// The state. Numbers and texts lie apart, so that numbers keep their size and are changed in place.
pub(super) struct AggregateState {
    numbers: KeyedState<Vec<u64>>,
    /// Nothing when no aggregate keeps a text.
    texts: Option<KeyedState<Texts>>,
    has_time_to_live: bool,
}

/// The keys of one batch, each once. The buffers are reused from batch to batch.
pub(super) enum StateKeys {
    /// Keys alone.
    Value(Vec<Vec<u8>>),
    /// Keys with map keys.
    Map(Vec<(Vec<u8>, Vec<u8>)>),
}

impl AggregateState {
    /// Registers the state.
    ///
    /// # Errors
    /// Those of the keyed state.
    pub(super) fn open(context: &mut OperatorContext<'_>, plan: &Plan) -> Result<Self> {
        let numbers = KeyedState::open(context, plan, NUMBERS)?;
        let texts = (plan.texts_len() > 0)
            .then(|| KeyedState::open(context, plan, TEXTS))
            .transpose()?;
        Ok(Self {
            numbers,
            texts,
            has_time_to_live: plan.time_to_live.is_some(),
        })
    }

    /// Whether the texts of a key must be written with its numbers even when they have not changed, so that both come to
    /// their end together.
    pub(super) fn has_time_to_live(&self) -> bool {
        self.has_time_to_live
    }

    /// Calls `change` with the `cells_len` cells of each of the first `len` keys, in order, and keeps what it makes of
    /// them.
    ///
    /// # Errors
    /// Those of the keyed state, and the first one of `change`.
    pub(super) fn update_numbers(
        &self,
        keys: &StateKeys,
        len: usize,
        cells_len: usize,
        mut change: impl FnMut(usize, &mut [Cell]) -> Result<()>,
    ) -> Result<()> {
        let mut scratch = vec![Cell::default(); cells_len];
        let mut outcome = Ok(());
        self.numbers.update_batch(
            keys,
            len,
            |_| vec![0; 2 * cells_len],
            |index, numbers| {
                if outcome.is_ok() {
                    outcome = change_cells(numbers, &mut scratch, |cells| change(index, cells));
                }
            },
        )?;
        outcome
    }

    /// The texts of key `index`; all null when it has none.
    ///
    /// # Errors
    /// Those of the keyed state.
    pub(super) fn texts(&self, keys: &StateKeys, index: usize, len: usize) -> Result<Texts> {
        let stored = match &self.texts {
            Some(state) => state.get(keys, index)?,
            None => None,
        };
        let texts = stored.unwrap_or_else(|| vec![None; len]);
        if texts.len() == len {
            Ok(texts)
        } else {
            Err(wrong_len(texts.len(), len))
        }
    }

    /// Replaces the texts of key `index`.
    ///
    /// # Errors
    /// Those of the keyed state.
    pub(super) fn put_texts(&self, keys: &StateKeys, index: usize, texts: &Texts) -> Result<()> {
        match &self.texts {
            Some(state) => state.put(keys, index, texts),
            None => Ok(()),
        }
    }

    /// Calls `visit` with about `records_max` keys, map keys (empty if there are none) and their `cells_len` cells,
    /// and says whether there are more.
    ///
    /// # Errors
    /// Those of the keyed state and of `visit`.
    pub(super) fn scan(
        &self,
        cursor: &mut ScanCursor,
        records_max: usize,
        cells_len: usize,
        mut visit: impl FnMut(&[u8], &[u8], &[Cell]) -> Result<()>,
    ) -> Result<bool> {
        let mut cells = Vec::with_capacity(cells_len);
        let mut visit = |key: &[u8], map_key: &[u8], numbers: &Archived<Vec<u64>>| {
            if numbers.len() != 2 * cells_len {
                return Err(wrong_len(numbers.len() / 2, cells_len));
            }
            cells.clear();
            cells.extend(numbers.chunks_exact(2).map(|pair| Cell {
                bits: pair[0].to_native(),
                count: pair[1].to_native(),
            }));
            visit(key, map_key, &cells)
        };
        match &self.numbers {
            KeyedState::Value(state) => state.scan(cursor, records_max, |key, numbers| {
                visit(key.as_slice(), &[], numbers)
            }),
            KeyedState::Map(state) => state.scan(cursor, records_max, |key, map_key, numbers| {
                visit(key.as_slice(), map_key.as_slice(), numbers)
            }),
        }
    }
}

impl StateKeys {
    /// No keys yet.
    pub(super) fn new(has_map_key: bool) -> Self {
        if has_map_key {
            Self::Map(Vec::new())
        } else {
            Self::Value(Vec::new())
        }
    }

    /// Sets key `index`, which must not be further than the end, to the first `key_len` bytes of `bytes`, and the map
    /// key to the others.
    pub(super) fn set(&mut self, index: usize, bytes: &[u8], key_len: usize) {
        let (key, map_key) = bytes.split_at(key_len);
        match self {
            Self::Value(keys) => {
                if index == keys.len() {
                    keys.push(Vec::new());
                }
                refill(&mut keys[index], key);
            }
            Self::Map(keys) => {
                if index == keys.len() {
                    keys.push((Vec::new(), Vec::new()));
                }
                refill(&mut keys[index].0, key);
                refill(&mut keys[index].1, map_key);
            }
        }
    }
}

/// One registered state: the same operations with map keys and without.
enum KeyedState<V: StateValue> {
    Value(ValueState<Vec<u8>, V>),
    Map(EntryState<Vec<u8>, Vec<u8>, V>),
}

impl<V: StateValue> KeyedState<V> {
    fn open(context: &mut OperatorContext<'_>, plan: &Plan, name: &str) -> Result<Self> {
        let spec = StateSpec::new(name);
        let spec = match plan.time_to_live {
            Some(time_to_live) => spec.with_time_to_live(time_to_live),
            None => spec,
        };
        Ok(if plan.has_map_key {
            Self::Map(context.keyed_state.entry_state(spec)?)
        } else {
            Self::Value(context.keyed_state.value_state(spec)?)
        })
    }

    fn get(&self, keys: &StateKeys, index: usize) -> Result<Option<V>> {
        match (self, keys) {
            (Self::Value(state), StateKeys::Value(keys)) => state.get(&keys[index]),
            (Self::Map(state), StateKeys::Map(keys)) => state.get(&keys[index].0, &keys[index].1),
            _ => Err(wrong_kind()),
        }
    }

    fn put(&self, keys: &StateKeys, index: usize, value: &V) -> Result<()> {
        match (self, keys) {
            (Self::Value(state), StateKeys::Value(keys)) => state.put(&keys[index], value),
            (Self::Map(state), StateKeys::Map(keys)) => {
                state.put(&keys[index].0, &keys[index].1, value)
            }
            _ => Err(wrong_kind()),
        }
    }

    fn update_batch(
        &self,
        keys: &StateKeys,
        len: usize,
        initial: impl FnMut(usize) -> V,
        change: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        match (self, keys) {
            (Self::Value(state), StateKeys::Value(keys)) => {
                state.update_batch(&keys[..len], initial, change)
            }
            (Self::Map(state), StateKeys::Map(keys)) => {
                let entries = keys[..len].iter().map(|(key, map_key)| (key, map_key));
                state.update_batch(entries, initial, change)
            }
            _ => Err(wrong_kind()),
        }
    }
}

/// Copies the cells out of the state, lets `change` have them, and writes them back where they lay.
#[inline]
fn change_cells(
    numbers: Seal<'_, Archived<Vec<u64>>>,
    cells: &mut [Cell],
    change: impl FnOnce(&mut [Cell]) -> Result<()>,
) -> Result<()> {
    let numbers = Archived::<Vec<u64>>::as_slice_seal(numbers).unseal();
    if numbers.len() != 2 * cells.len() {
        return Err(wrong_len(numbers.len() / 2, cells.len()));
    }
    for (cell, pair) in cells.iter_mut().zip(numbers.chunks_exact(2)) {
        cell.bits = pair[0].to_native();
        cell.count = pair[1].to_native();
    }
    change(cells)?;
    for (cell, pair) in cells.iter().zip(numbers.chunks_exact_mut(2)) {
        pair[0] = cell.bits.into();
        pair[1] = cell.count.into();
    }
    Ok(())
}

fn refill(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}

fn wrong_len(found: usize, expected: usize) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("a stored aggregate has {found} values where {expected} were expected"),
    )
}

fn wrong_kind() -> Error {
    Error::new(ErrorKind::Bug, "map keys and keys without one were mixed")
}
