//! Archived maps and sets: B-trees of nodes with up to five entries.

use super::decode::Decoder;
use super::layout::{Layout, NODE_ENTRIES, NodeLayout, WORD};
use super::row_value::RowValue;
use super::value_schema::{SchemaType, TypeId};
use crate::error::Result;
use crate::state::piece::corrupt;

/// The set's entries are those of a map whose values have no bytes.
const NO_VALUE: Layout = Layout { size: 0, align: 1 };

const LEAF: u8 = 0;
const INNER: u8 = 1;

/// How high a tree can be: every level has six times as many nodes as the one above it.
const HEIGHT_MAX: usize = 16;

impl Decoder<'_> {
    /// An archived set.
    pub(super) fn set(&mut self, item: TypeId, at: usize) -> Result<RowValue> {
        let entries = self.entries(item, NO_VALUE, at)?;
        let items = entries.into_iter().map(|(key, _)| self.value(item, key));
        Ok(RowValue::List(items.collect::<Result<_>>()?))
    }

    /// An archived map.
    pub(super) fn map(&mut self, key: TypeId, value: TypeId, at: usize) -> Result<RowValue> {
        let entries = self.entries(key, self.schema.layout(value), at)?;
        let mut pairs = Vec::with_capacity(entries.len());
        for (key_at, value_at) in entries {
            pairs.push((self.value(key, key_at)?, self.value(value, value_at)?));
        }
        if *self.schema.type_of(key) != SchemaType::Text {
            let pair = |(key, value)| RowValue::List(vec![key, value]);
            return Ok(RowValue::List(pairs.into_iter().map(pair).collect()));
        }
        let field = |(key, value)| match key {
            RowValue::Text(name) => Ok((name, value)),
            _ => Err(corrupt("a map's key is not the text that it should be")),
        };
        let fields = pairs.into_iter().map(field);
        Ok(RowValue::Record(fields.collect::<Result<_>>()?))
    }

    /// Where the key and the value of each entry lie, in the order of the keys.
    fn entries(&mut self, key: TypeId, value: Layout, at: usize) -> Result<Vec<(usize, usize)>> {
        let len = self.length(at + WORD.size)?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let key = self.schema.layout(key);
        let nodes = NodeLayout::new(key, value)
            .ok_or_else(|| corrupt("the nodes of a map are too large"))?;
        let root = self.pointer(at)?;
        let mut walk = Walk {
            decoder: self,
            nodes,
            key,
            value,
            entries: Vec::new(),
        };
        walk.node(root, 0)?;
        let entries = walk.entries;
        if entries.len() == len {
            Ok(entries)
        } else {
            Err(corrupt(format!(
                "a map says that it has {len} entries, and has {}",
                entries.len()
            )))
        }
    }
}

struct Walk<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    nodes: NodeLayout,
    key: Layout,
    value: Layout,
    entries: Vec<(usize, usize)>,
}

impl Walk<'_, '_> {
    fn node(&mut self, at: usize, height: usize) -> Result<()> {
        if height > HEIGHT_MAX {
            return Err(corrupt("a map is nested too deeply"));
        }
        match self.decoder.take(at, 1)? {
            [LEAF] => self.leaf(at),
            [INNER] => self.inner(at, height),
            _ => Err(corrupt("a map has a node of no kind")),
        }
    }

    fn leaf(&mut self, at: usize) -> Result<()> {
        self.decoder.claim(at, self.nodes.leaf)?;
        let len = self.decoder.length(at + self.nodes.leaf_len)?;
        if len > NODE_ENTRIES {
            return Err(corrupt("a node of a map has too many entries"));
        }
        (0..len).for_each(|index| self.entry(at, index));
        Ok(())
    }

    fn inner(&mut self, at: usize, height: usize) -> Result<()> {
        self.decoder.claim(at, self.nodes.inner)?;
        for index in 0..=NODE_ENTRIES {
            let pointer = at + self.nodes.lesser_nodes + index * WORD.size;
            if !self.decoder.is_null(pointer)? {
                let child = self.decoder.pointer(pointer)?;
                self.node(child, height + 1)?;
            }
            if index < NODE_ENTRIES {
                self.entry(at, index);
            }
        }
        Ok(())
    }

    fn entry(&mut self, node: usize, index: usize) {
        let key = node + self.nodes.keys + index * self.key.size;
        let value = node + self.nodes.values + index * self.value.size;
        self.entries.push((key, value));
    }
}
