//! The operator state of one operator subtask: what registers states, and seals them at a barrier.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::broadcast::BroadcastState;
use super::cell::{AnyOperatorState, Content, OperatorStateCell};
use super::descriptor::{OperatorStateDescriptor, OperatorStateKind};
use super::list::OperatorListState;
use super::restored::{Claimant, RestoredSections, SealedOperatorState};
use crate::error::{Error, ErrorKind, Result};
use crate::state::archive::{StateKey, StateValue};
use crate::state::schema::schema_text;

/// The operator state of one operator subtask. It belongs to one thread, with the handles that it gives out.
pub struct OperatorStateBackend {
    claimant: Claimant,
    restored: Vec<RestoredSections>,
    states: Vec<Rc<dyn AnyOperatorState>>,
}

impl OperatorStateBackend {
    /// A backend without a state yet, of subtask `subtask` among `parallelism`, which is at least 1. `restored` is what a
    /// checkpoint holds of the operator, of all its subtasks.
    pub fn new(subtask: usize, parallelism: usize, restored: Vec<RestoredSections>) -> Self {
        Self {
            claimant: Claimant {
                subtask,
                parallelism,
            },
            restored,
            states: Vec::new(),
        }
    }

    /// Registers a list state, whose items are dealt out to the subtasks when the parallelism changes. It holds what a
    /// checkpoint gives this subtask back.
    ///
    /// # Errors
    /// [`ErrorKind::Operator`] when the name is taken; [`ErrorKind::Configuration`] when the restored state has another
    /// kind or other types; [`ErrorKind::Corrupt`] when its bytes are damaged.
    pub fn list_state<T: StateValue>(&mut self, name: &str) -> Result<OperatorListState<T>> {
        self.any_list(name, OperatorStateKind::List)
    }

    /// Registers a union list state, of which each subtask is given back the items of all.
    ///
    /// # Errors
    /// As for [`OperatorStateBackend::list_state`].
    pub fn union_list_state<T: StateValue>(&mut self, name: &str) -> Result<OperatorListState<T>> {
        self.any_list(name, OperatorStateKind::UnionList)
    }

    /// Registers a broadcast state: a map that the operator keeps the same in every subtask.
    ///
    /// # Errors
    /// As for [`OperatorStateBackend::list_state`].
    pub fn broadcast_state<K: StateKey + Ord, V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<BroadcastState<K, V>> {
        let descriptor = OperatorStateDescriptor {
            kind: OperatorStateKind::Broadcast,
            key_schema: Some(schema_text::<K>()),
            value_schema: schema_text::<V>(),
        };
        let cell =
            self.register::<BTreeMap<K, V>>(name, descriptor, RestoredSections::broadcast)?;
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
        name: &str,
        kind: OperatorStateKind,
    ) -> Result<OperatorListState<T>> {
        let descriptor = OperatorStateDescriptor {
            kind,
            key_schema: None,
            value_schema: schema_text::<T>(),
        };
        let cell = self.register::<Vec<T>>(name, descriptor, RestoredSections::list)?;
        Ok(OperatorListState::new(cell))
    }

    fn register<C: Content + Default>(
        &mut self,
        name: &str,
        descriptor: OperatorStateDescriptor,
        read: impl FnOnce(&RestoredSections, Claimant) -> Result<C>,
    ) -> Result<Rc<OperatorStateCell<C>>> {
        if self.states.iter().any(|state| state.name() == name) {
            return Err(Error::new(
                ErrorKind::Operator,
                format!(
                    "operator state \"{name}\" is registered twice: give one of the two another name"
                ),
            ));
        }
        let content = match self.restored.iter().position(|state| *state.name == *name) {
            Some(index) => {
                let restored = self.restored.swap_remove(index);
                check_descriptor(name, &restored.descriptor, &descriptor)?;
                read(&restored, self.claimant)
                    .map_err(|error| error.context(format!("operator state \"{name}\"")))?
            }
            None => C::default(),
        };
        let cell = Rc::new(OperatorStateCell::new(name, descriptor, content));
        self.states
            .push(Rc::clone(&cell) as Rc<dyn AnyOperatorState>);
        Ok(cell)
    }
}

fn check_descriptor(
    name: &str,
    stored: &OperatorStateDescriptor,
    registered: &OperatorStateDescriptor,
) -> Result<()> {
    if stored == registered {
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
