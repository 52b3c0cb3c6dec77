//! The items of an operator state, by its descriptor alone.

use bytes::Bytes;

use super::codec::ValueCodec;
use super::row_value::RowValue;
use crate::error::Result;
use crate::state::operator_state::{
    OperatorStateDescriptor, OperatorStateKind, SectionReader, SectionWriter,
};

/// Reads and writes the sections of one operator state.
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

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// The archive of the key of an entry.
    pub key: Option<Vec<u8>>,
    /// The archive of the item, or of the entry's value.
    pub value: Vec<u8>,
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

    /// Reads and writes the keys of a broadcast state.
    pub fn key(&self) -> Option<&ValueCodec> {
        self.key.as_ref()
    }

    /// Reads and writes items, or the values of entries.
    pub fn value(&self) -> &ValueCodec {
        &self.value
    }

    /// All items of a section, in their order.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when the bytes are not a section of this state.
    pub fn decode_section(&self, section: &[u8]) -> Result<Vec<OperatorStateItem>> {
        let items = self.split_section(section)?.into_iter().map(|item| {
            let key = match (&self.key, item.key) {
                (Some(codec), Some(key)) => Some(codec.decode(&key)?),
                _ => None,
            };
            let value = self.value.decode(&item.value)?;
            Ok(OperatorStateItem { key, value })
        });
        items.collect()
    }

    /// All items of a section as they are stored, in their order.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when the bytes are not a section of this state.
    pub fn split_section(&self, section: &[u8]) -> Result<Vec<StoredItem>> {
        let mut reader = SectionReader::open(section, self.kind)?;
        let mut items = Vec::new();
        for _ in 0..reader.count() {
            let key = match &self.key {
                Some(_) => Some(reader.take()?.to_vec()),
                None => None,
            };
            let value = reader.take()?.to_vec();
            items.push(StoredItem { key, value });
        }
        reader.finish()?;
        Ok(items)
    }

    /// A section of these items.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Data`] when one takes 4 GiB or more.
    pub fn join_section(&self, items: &[StoredItem]) -> Result<Bytes> {
        let mut writer = SectionWriter::new(self.kind, items.len());
        for item in items {
            if let Some(key) = &item.key {
                writer.push_archive(key)?;
            }
            writer.push_archive(&item.value)?;
        }
        Ok(writer.finish())
    }

    /// Puts the entries of a broadcast state into the order of their keys, as far as the schema of the key says what that
    /// is; items of a list stay in theirs.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Corrupt`] when a key is none of its schema.
    pub fn sort_entries(&self, items: &mut [StoredItem]) -> Result<()> {
        let Some(codec) = &self.key else {
            return Ok(());
        };
        let mut keyed = Vec::with_capacity(items.len());
        for item in items.iter() {
            let key = codec.decode(item.key.as_deref().unwrap_or_default())?;
            keyed.push((key.to_value(), item.clone()));
        }
        keyed.sort_by(|(left, _), (right, _)| codec.compare(left, right));
        for (place, (_, item)) in items.iter_mut().zip(keyed) {
            *place = item;
        }
        Ok(())
    }
}
