//! What a named state is registered with.

use std::marker::PhantomData;

use super::expiring::Expiring;
use super::time_to_live::StateTtl;

/// The name of a state, and what else it is registered with. A name alone is enough: `"sums".into()`.
pub struct StateSpec<V> {
    name: String,
    time_to_live: Option<StateTtl>,
    _value: PhantomData<fn() -> V>,
}

impl<V> StateSpec<V> {
    /// A state of this name, unique in its operator and without a `/`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            time_to_live: None,
            _value: PhantomData,
        }
    }

    /// Lets the state's values go when their time is over; without this, they stay until they are removed.
    #[must_use]
    pub fn with_time_to_live(self, time_to_live: StateTtl) -> Self {
        Self {
            time_to_live: Some(time_to_live),
            ..self
        }
    }

    /// How long values last, if not for ever.
    pub fn time_to_live(&self) -> Option<StateTtl> {
        self.time_to_live
    }

    /// The same for values that lie with their end.
    pub(super) fn of_expiring(&self) -> StateSpec<Expiring<V>> {
        StateSpec {
            name: self.name.clone(),
            time_to_live: self.time_to_live,
            _value: PhantomData,
        }
    }

    /// The state's name, in which there must be no `/`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<V> From<&str> for StateSpec<V> {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl<V> From<&String> for StateSpec<V> {
    fn from(name: &String) -> Self {
        Self::new(name)
    }
}
