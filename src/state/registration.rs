//! The registration of states of each kind: their records, with a time-to-live or without, and what sweeps them.

use std::rc::Rc;

use super::aggregating_state::{AggregateFunction, AggregatingState};
use super::archive::{EntryKey, StateKey, StateValue};
use super::backend::{KeyedStateBackend, record_format};
use super::cell::StateCell;
use super::descriptor::{StateDescriptor, StateKind};
use super::entry_index::EntryIndex;
use super::entry_state::EntryState;
use super::key_parts::KeyParts;
use super::list_state::ListState;
use super::map_state::MapState;
use super::records::{ExpiringRecords, Records};
use super::reducing_state::ReducingState;
use super::schema::schema_text;
use super::spec::StateSpec;
use super::state_name;
use super::sweep::Sweep;
use super::value_state::ValueState;
use crate::error::Result;

impl KeyedStateBackend {
    /// Registers a state with one value for each key, and loads it if it was restored.
    ///
    /// # Errors
    /// [`ErrorKind::Operator`](crate::error::ErrorKind::Operator) when the name is taken or has a `/`, or the migrations
    /// contradict each other; [`ErrorKind::Configuration`](crate::error::ErrorKind::Configuration) when the restored state
    /// has another kind or other keys, when it has another version or another schema and there is no migration for it, and
    /// when the time-to-live is below a millisecond;
    /// [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) when the restored bytes are damaged;
    /// [`ErrorKind::Environment`](crate::error::ErrorKind::Environment) when there is no room. Those of a migration.
    pub fn value_state<K: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<ValueState<K, V>> {
        let records = self.swept_records(&spec.into(), StateKind::Value)?;
        Ok(ValueState::new(records))
    }

    /// Registers a state with one value for each pair of a key and an entry key, and loads it if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn entry_state<K: StateKey, M: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<EntryState<K, M, V>> {
        let records = self.swept_records(&spec.into(), StateKind::Entry)?;
        Ok(EntryState::new(records))
    }

    /// Registers a state with a map for each key, and loads it if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn map_state<K: StateKey, M: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<MapState<K, M, V>> {
        let spec = spec.into();
        let loses_ends = self.loses_ends(&spec);
        let records = self.records::<EntryKey<K, M>, V>(&spec, StateKind::Map)?;
        let index = EntryIndex {
            slots: EntryState::new(self.part(spec.name(), "slots")?),
            map_keys: EntryState::new(self.part(spec.name(), "index")?),
            sizes: ValueState::new(self.part(spec.name(), "sizes")?),
        };
        let state = MapState::new(records.clone(), index);
        if loses_ends {
            state.forget_missing()?;
        }
        let swept = state.clone();
        self.sweep(&records, move |(key, map_key)| {
            swept.remove_record(key, map_key).map(drop)
        })?;
        Ok(state)
    }

    /// Registers a state with a list for each key, and loads it if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn list_state<K: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<ListState<K, V>> {
        let spec = spec.into();
        let loses_ends = self.loses_ends(&spec);
        let records = self.records(&spec, StateKind::List)?;
        let bounds = ValueState::new(self.part(spec.name(), "bounds")?);
        let state = ListState::new(records.clone(), bounds);
        if loses_ends {
            state.close_gaps()?;
        }
        let swept = state.clone();
        self.sweep(&records, move |(key, position)| {
            swept.remove_record(key, *position)
        })?;
        Ok(state)
    }

    /// Registers a state that keeps, for each key, what `reduce` made of the value before and each value added; loads it
    /// if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn reducing_state<K: StateKey, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
        reduce: impl Fn(V, V) -> V + 'static,
    ) -> Result<ReducingState<K, V>> {
        let records = self.swept_records(&spec.into(), StateKind::Reducing)?;
        Ok(ReducingState::new(records, Rc::new(reduce)))
    }

    /// Registers a state that keeps, for each key, an accumulator of all values added, and loads it if it was restored.
    ///
    /// # Errors
    /// As for [`KeyedStateBackend::value_state`].
    pub fn aggregating_state<K: StateKey, F: AggregateFunction>(
        &mut self,
        spec: impl Into<StateSpec<F::Accumulator>>,
        function: F,
    ) -> Result<AggregatingState<K, F>> {
        let records = self.swept_records(&spec.into(), StateKind::Aggregating)?;
        Ok(AggregatingState::new(records, Rc::new(function)))
    }

    /// The records under the user's own name.
    fn records<R: KeyParts, V: StateValue>(
        &mut self,
        spec: &StateSpec<V>,
        kind: StateKind,
    ) -> Result<Records<R, V>> {
        state_name::check(spec.name())?;
        let stored = self.restored_descriptor(spec.name());
        let Some(time_to_live) = spec.time_to_live() else {
            let spec = spec.of_lasting(stored, self.now.get());
            return Ok(Records::Lasting(self.cell(&spec, kind)?));
        };
        let lifetime = time_to_live.lifetime(spec.name())?;
        let spec = spec.of_expiring(stored, lifetime.expires(self.now.get()));
        Ok(Records::Expiring(ExpiringRecords {
            lifetime,
            cell: self.cell(&spec, kind)?,
            now: Rc::clone(&self.now),
        }))
    }

    /// Whether what is restored has ends and is to have none: values whose time is over are left out then.
    fn loses_ends<V>(&self, spec: &StateSpec<V>) -> bool {
        let stored = self.restored_descriptor(spec.name());
        spec.time_to_live().is_none() && stored.is_some_and(|stored| stored.time_to_live)
    }

    /// Records that are all there is to a state.
    fn swept_records<R: KeyParts, V: StateValue>(
        &mut self,
        spec: &StateSpec<V>,
        kind: StateKind,
    ) -> Result<Records<R, V>> {
        let records: Records<R, V> = self.records(spec, kind)?;
        let swept = records.clone();
        self.sweep(&records, move |key| swept.remove(R::native(key)).map(drop))?;
        Ok(records)
    }

    /// Records beside those under the user's own name.
    fn part<R: KeyParts, V: StateValue>(
        &mut self,
        name: &str,
        part: &str,
    ) -> Result<Records<R, V>> {
        let spec = StateSpec::<V>::new(state_name::of_part(name, part));
        Ok(Records::Lasting(self.cell(&spec, StateKind::Index)?))
    }

    /// One set of records, of values as they lie in it.
    fn cell<R: KeyParts, V: StateValue>(
        &mut self,
        spec: &StateSpec<V>,
        kind: StateKind,
    ) -> Result<Rc<StateCell<R, V>>> {
        let (key_schema, map_key_schema) = R::schemas();
        let descriptor = StateDescriptor {
            kind,
            version: spec.version(),
            key_schema,
            map_key_schema,
            value_schema: schema_text::<V>(),
            time_to_live: spec.time_to_live().is_some(),
            record_format: record_format::<R, V>(),
        };
        self.register(spec, descriptor)
    }

    /// Has `remove` called with the key of each record whose time is over.
    fn sweep<R: KeyParts, V: StateValue>(
        &mut self,
        records: &Records<R, V>,
        remove: impl Fn(&R::Owned) -> Result<()> + 'static,
    ) -> Result<()> {
        if let Records::Expiring(records) = records {
            self.sweeps
                .push(Box::new(Sweep::new(records.clone(), remove)?));
        }
        Ok(())
    }
}
