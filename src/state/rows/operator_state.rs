//! The items of an operator state, by its descriptor alone.

use super::codec::ValueCodec;
use super::row_value::RowValue;
use crate::error::Result;
use crate::state::operator_state::{OperatorStateDescriptor, OperatorStateKind, SectionReader};

/// Reads the sections of one operator state.
#[derive(Clone, Debug)]
pub struct OperatorStateCodec {
    kind: OperatorStateKind,
    /// Of a broadcast state.
    key: Option<ValueCodec>,
    value: ValueCodec,
}

/// An item of a list, or an entry of a broadcast state.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorStateItem {
    /// The key of an entry.
    pub key: Option<RowValue>,
    /// The item, or the entry's value.
    pub value: RowValue,
}

impl OperatorStateCodec {
    /// Reads what a descriptor says.
    pub fn new(descriptor: &OperatorStateDescriptor) -> Self {
        Self {
            kind: descriptor.kind,
            key: descriptor.key_schema.as_deref().map(ValueCodec::new),
            value: ValueCodec::new(&descriptor.value_schema),
        }
    }

    /// Which schemas say nothing that is understood: those bytes are shown as they are.
    pub fn opaque_schemas(&self) -> Vec<&str> {
        self.key
            .iter()
            .chain([&self.value])
            .filter(|codec| codec.is_opaque())
            .map(ValueCodec::schema)
            .collect()
    }

    /// All items of a section, in their order.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when the bytes are not a section of this state.
    pub fn decode_section(&self, section: &[u8]) -> Result<Vec<OperatorStateItem>> {
        let mut reader = SectionReader::open(section, self.kind)?;
        let mut items = Vec::new();
        for _ in 0..reader.count() {
            let key = match &self.key {
                Some(codec) => Some(codec.decode(reader.take()?)?),
                None => None,
            };
            let value = self.value.decode(reader.take()?)?;
            items.push(OperatorStateItem { key, value });
        }
        reader.finish()?;
        Ok(items)
    }
}
