//! The operator state of one operator subtask: what registers states, and seals them at a barrier.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::broadcast::BroadcastState;
use super::cell::{AnyOperatorState, Content, OperatorStateCell};
use super::descriptor::{OperatorStateDescriptor, OperatorStateKind};
use super::list::OperatorListState;
use super::restored::{Claimant, RestoredSections, SealedOperatorState};
use crate::error::{Error, ErrorKind, Result};
use crate::state::archive::{StateKey, StateValue};
use crate::state::compatibility::ValueLayout;
use crate::state::migration::Migration;
use crate::state::schema::schema_text;
use crate::state::spec::StateSpec;

/// The operator state of one operator subtask. It belongs to one thread, with the handles that it gives out.
pub struct OperatorStateBackend {
    claimant: Claimant,
    restored: Vec<RestoredSections>,
    /// Of each list state that was restored, how many items of those before it are dealt out. So the items of all lists of
    /// an operator go round the subtasks together, and states of one item do not all go to the first subtask.
    first_items: BTreeMap<Arc<str>, usize>,
    states: Vec<Rc<dyn AnyOperatorState>>,
}

impl OperatorStateBackend {
    /// A backend without a state yet, of subtask `subtask` among `parallelism`, which is at least 1. `restored` is what a
    /// checkpoint holds of the operator, of all its subtasks.
    pub fn new(subtask: usize, parallelism: usize, restored: Vec<RestoredSections>) -> Self {
        let mut dealt = 0;
        let first_items = restored.iter().map(|state| {
            let first = dealt;
            dealt += state.dealt();
            (Arc::clone(&state.name), first)
        });
        Self {
            claimant: Claimant {
                subtask,
                parallelism,
            },
            first_items: first_items.collect(),
            restored,
            states: Vec::new(),
        }
    }

    /// Registers a list state, whose items are dealt out to the subtasks when the parallelism changes. It holds what a
    /// checkpoint gives this subtask back. A [`StateSpec`] in the name's place says what becomes of items of a former type.
    ///
    /// # Errors
    /// [`ErrorKind::Operator`] when the name is taken, a time-to-live is given, or the migrations contradict each other;
    /// [`ErrorKind::Configuration`] when the restored state has another kind or other keys, or another version or type and
    /// there is no migration for it; [`ErrorKind::Corrupt`] when its bytes are damaged. Those of a migration.
    pub fn list_state<T: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<T>>,
    ) -> Result<OperatorListState<T>> {
        self.any_list(&spec.into(), OperatorStateKind::List)
    }

    /// Registers a union list state, of which each subtask is given back the items of all.
    ///
    /// # Errors
    /// As for [`OperatorStateBackend::list_state`].
    pub fn union_list_state<T: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<T>>,
    ) -> Result<OperatorListState<T>> {
        self.any_list(&spec.into(), OperatorStateKind::UnionList)
    }

    /// Registers a broadcast state: a map that the operator keeps the same in every subtask.
    ///
    /// # Errors
    /// As for [`OperatorStateBackend::list_state`].
    pub fn broadcast_state<K: StateKey + Ord, V: StateValue>(
        &mut self,
        spec: impl Into<StateSpec<V>>,
    ) -> Result<BroadcastState<K, V>> {
        let spec = spec.into();
        let descriptor = OperatorStateDescriptor {
            kind: OperatorStateKind::Broadcast,
            version: spec.version(),
            key_schema: Some(schema_text::<K>()),
            value_schema: schema_text::<V>(),
        };
        let claimant = self.claimant;
        let cell = self.register(&spec, descriptor, |restored, migration| {
            restored.broadcast::<K, V>(claimant, migration)
        })?;
        Ok(BroadcastState::new(cell))
    }

    /// The names of restored states that nothing has registered.
    pub fn unclaimed(&self) -> Vec<&str> {
        self.restored.iter().map(|state| &*state.name).collect()
    }

    /// The barrier: every state as it is now. Serialises those that have changed since the last barrier.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a value cannot be archived.
    pub fn seal(&self) -> Result<Vec<SealedOperatorState>> {
        self.states.iter().map(|state| state.seal()).collect()
    }

    fn any_list<T: StateValue>(
        &mut self,
        spec: &StateSpec<T>,
        kind: OperatorStateKind,
    ) -> Result<OperatorListState<T>> {
        let descriptor = OperatorStateDescriptor {
            kind,
            version: spec.version(),
            key_schema: None,
            value_schema: schema_text::<T>(),
        };
        let claimant = self.claimant;
        let first = self.first_items.get(spec.name()).copied().unwrap_or(0);
        let cell = self.register(spec, descriptor, |restored, migration| {
            restored.list(claimant, first, migration)
        })?;
        Ok(OperatorListState::new(cell))
    }

    /// Registers a state of items or values `V`; `read` makes its content out of what was restored.
    fn register<V: StateValue, C: Content + Default>(
        &mut self,
        spec: &StateSpec<V>,
        descriptor: OperatorStateDescriptor,
        read: impl FnOnce(&RestoredSections, Option<&Migration<V>>) -> Result<C>,
    ) -> Result<Rc<OperatorStateCell<C>>> {
        let name = spec.name();
        let refused = |reason: &str| {
            let message = format!("operator state \"{name}\" {reason}");
            Err(Error::new(ErrorKind::Operator, message))
        };
        if self.states.iter().any(|state| state.name() == name) {
            return refused("is registered twice: give one of the two another name");
        }
        if spec.time_to_live().is_some() {
            return refused("cannot have a time-to-live: keep it in keyed state");
        }
        let context = |error: Error| error.context(format!("operator state \"{name}\""));
        spec.check().map_err(context)?;
        let content = match self.restored.iter().position(|state| *state.name == *name) {
            Some(index) => {
                let restored = self.restored.swap_remove(index);
                check_descriptor(name, &restored.descriptor, &descriptor)?;
                let layouts = [&restored.descriptor, &descriptor].map(|descriptor| ValueLayout {
                    version: descriptor.version,
                    schema: &descriptor.value_schema,
                });
                let migration = spec.migration_of_values(layouts[0], layouts[1]);
                let migration = migration.map_err(context)?;
                read(&restored, migration).map_err(context)?
            }
            None => C::default(),
        };
        let cell = Rc::new(OperatorStateCell::new(name, descriptor, content));
        self.states
            .push(Rc::clone(&cell) as Rc<dyn AnyOperatorState>);
        Ok(cell)
    }
}

/// Checks what no migration can change: the kind of the state, and its keys.
fn check_descriptor(
    name: &str,
    stored: &OperatorStateDescriptor,
    registered: &OperatorStateDescriptor,
) -> Result<()> {
    if (stored.kind, &stored.key_schema) == (registered.kind, &registered.key_schema) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Configuration,
        format!(
            "operator state \"{name}\" was stored as {stored} and is now registered as {registered}: restore it as what \
             it was stored as, give the new state another name, or start without the checkpoint"
        ),
    ))
}
