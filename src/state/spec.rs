//! What a named state is registered with.

use std::marker::PhantomData;

/// The name of a state, and what else it is registered with. A name alone is enough: `"sums".into()`.
pub struct StateSpec<V> {
    name: String,
    _value: PhantomData<fn() -> V>,
}

impl<V> StateSpec<V> {
    /// A state of this name, unique in its operator.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            _value: PhantomData,
        }
    }

    /// The state's name.
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
