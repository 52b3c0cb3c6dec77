//! A registered operator state: what its handles and the backend share.

use std::cell::{Ref, RefCell};
use std::sync::Arc;

use bytes::Bytes;

use super::descriptor::{OperatorStateDescriptor, OperatorStateKind};
use super::restored::SealedOperatorState;
use super::section::SectionWriter;
use crate::error::{Error, ErrorKind, Result};

/// A named state. Handles and the backend each hold a reference to it, all on one thread.
pub(super) struct OperatorStateCell<C> {
    name: Arc<str>,
    descriptor: OperatorStateDescriptor,
    content: RefCell<C>,
    /// What the last barrier made of the content; nothing once the content may have changed.
    sealed: RefCell<Option<Bytes>>,
}

/// What a state holds: a list or a map.
pub(super) trait Content: 'static {
    /// The content as a section.
    fn to_section(&self, kind: OperatorStateKind) -> Result<SectionWriter>;
}

/// A registered state, whatever its types: what the backend does with all of them.
pub(super) trait AnyOperatorState {
    /// Its name.
    fn name(&self) -> &str;
    /// The barrier.
    fn seal(&self) -> Result<SealedOperatorState>;
}

impl<C> OperatorStateCell<C> {
    pub(super) fn new(name: &str, descriptor: OperatorStateDescriptor, content: C) -> Self {
        Self {
            name: name.into(),
            descriptor,
            content: RefCell::new(content),
            sealed: RefCell::new(None),
        }
    }

    /// The content, to be looked at.
    pub(super) fn read(&self) -> Ref<'_, C> {
        self.content.borrow()
    }

    /// Changes the content.
    ///
    /// # Errors
    /// [`ErrorKind::Operator`] while somebody is looking at it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut C) -> R) -> Result<R> {
        let mut content = self.content.try_borrow_mut().map_err(|_| self.is_held())?;
        self.sealed.replace(None);
        Ok(change(&mut content))
    }

    #[cold]
    fn is_held(&self) -> Error {
        Error::new(
            ErrorKind::Operator,
            format!(
                "operator state \"{}\" is changed while a reference into it is held: drop the reference first, or clone what it \
                 leads to",
                self.name
            ),
        )
    }
}

impl<C: Content> AnyOperatorState for OperatorStateCell<C> {
    fn name(&self) -> &str {
        &self.name
    }

    fn seal(&self) -> Result<SealedOperatorState> {
        let mut sealed = self.sealed.borrow_mut();
        let section = match &mut *sealed {
            Some(unchanged) => unchanged.clone(),
            changed => {
                let section = self.content.borrow().to_section(self.descriptor.kind);
                let section = section
                    .map_err(|error| error.context(format!("operator state \"{}\"", self.name)))?
                    .finish();
                changed.insert(section).clone()
            }
        };
        Ok(SealedOperatorState {
            name: Arc::clone(&self.name),
            descriptor: self.descriptor.clone(),
            section,
        })
    }
}
