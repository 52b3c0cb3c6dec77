//! Archived maps and sets in the making: the nodes in the order in which rkyv writes them.

use std::cmp::Ordering;

use serde_json::Value;

use super::encode::{Encoder, Image, array_of, float, length, text_of, unexpected, wrong};
use super::layout::{Layout, NODE_ENTRIES, NodeLayout, TWO_WORDS, WORD};
use super::value_schema::{Fields, SchemaType, TypeId};
use crate::error::Result;

/// What a pointer says that leads nowhere.
const NOWHERE: [u8; 4] = 1_i32.to_le_bytes();

const LEAF: u8 = 0;
const INNER: u8 = 1;

/// How many nodes are below an inner one.
const BRANCHES: usize = NODE_ENTRIES + 1;

/// A map or a set that is written, entry after entry.
struct Tree<'v> {
    key: TypeId,
    /// Nothing for a set.
    value: Option<TypeId>,
    layouts: [Layout; 2],
    nodes: NodeLayout,
    entries: Vec<(&'v Value, &'v Value)>,
}

/// An inner node that is not full: its entries, and for each the node before it.
type OpenInner = Vec<(usize, Option<usize>)>;

impl Encoder<'_> {
    /// A set. Its items are put into order.
    pub(super) fn set(&mut self, item: TypeId, value: &Value) -> Result<Image> {
        let items = array_of(value, None)?.iter();
        let entries = items.map(|item| (item, &Value::Null)).collect();
        self.tree(item, None, entries)
    }

    /// A map. Its entries are put into order.
    pub(super) fn map(&mut self, key: TypeId, map_value: TypeId, value: &Value) -> Result<Image> {
        if *self.schema.type_of(key) != SchemaType::Text {
            let pairs = array_of(value, None)?.iter().map(|pair| {
                let pair = array_of(pair, Some(2))?;
                Ok((&pair[0], &pair[1]))
            });
            let entries = pairs.collect::<Result<_>>()?;
            return self.tree(key, Some(map_value), entries);
        }
        let object = value
            .as_object()
            .ok_or_else(|| unexpected("an object", value))?;
        let keys: Vec<Value> = object.keys().cloned().map(Value::String).collect();
        let entries = keys.iter().zip(object.values()).collect();
        self.tree(key, Some(map_value), entries)
    }

    fn tree(
        &mut self,
        key: TypeId,
        value: Option<TypeId>,
        mut entries: Vec<(&Value, &Value)>,
    ) -> Result<Image> {
        let value_layout = value.map_or(Layout { size: 0, align: 1 }, |id| self.schema.layout(id));
        let layouts = [self.schema.layout(key), value_layout];
        // Keys that are not of their type would have no order.
        for (entry_key, _) in &entries {
            self.check(key, entry_key)?;
        }
        entries.sort_by(|(left, _), (right, _)| self.compare(key, left, right));
        let mut pairs = entries.windows(2);
        let twice = pairs.find(|pair| self.compare(key, pair[0].0, pair[1].0).is_eq());
        if let Some(pair) = twice {
            return Err(wrong(format!("the key {} is there twice", pair[0].0)));
        }
        let tree = Tree {
            key,
            value,
            layouts,
            nodes: NodeLayout::new(layouts[0], layouts[1])
                .ok_or_else(|| wrong("the nodes of a map are too large"))?,
            entries,
        };
        let len = length(tree.entries.len())?;
        let root = self.nodes(&tree)?;
        let mut image = Image::empty(TWO_WORDS);
        match root {
            Some(root) => image.link(0, root),
            None => image.put(0, Image::of(&NOWHERE)),
        }
        image.put(WORD.size, Image::of(&len.to_le_bytes()));
        Ok(image)
    }

    /// Writes the nodes; says where the root is. All leaves but those of the last level are on the level above it, and the
    /// last level is filled from the left.
    fn nodes(&mut self, tree: &Tree<'_>) -> Result<Option<usize>> {
        let count = tree.entries.len();
        if count == 0 {
            return Ok(None);
        }
        let height = 1 + count.ilog(BRANCHES);
        let last_level = count - (BRANCHES.pow(height - 1) - 1);
        let mut entries = 0..count;
        let mut inners: Vec<OpenInner> = vec![Vec::new(); height as usize - 1];
        let mut leaf = Vec::new();
        let mut child = None;
        let mut leaf_entries = 0;
        while let Some(entry) = entries.next() {
            leaf.push(entry);
            leaf_entries += 1;
            if leaf_entries != last_level && leaf.len() != NODE_ENTRIES {
                continue;
            }
            child = Some(self.leaf(tree, &std::mem::take(&mut leaf))?);
            if leaf_entries == last_level
                && let Some(mut inner) = inners.pop()
            {
                // Here the last level ends: what is left of this node has nothing below it.
                while inner.len() < NODE_ENTRIES {
                    let Some(entry) = entries.next() else { break };
                    inner.push((entry, child.take()));
                }
                child = Some(self.inner(tree, &inner, child)?);
            }
            let mut closed = 0;
            while let Some(inner) = inners.last_mut() {
                if inner.len() == NODE_ENTRIES {
                    let full = std::mem::take(inner);
                    inners.pop();
                    child = Some(self.inner(tree, &full, child)?);
                    closed += 1;
                    continue;
                }
                if let Some(entry) = entries.next() {
                    inner.push((entry, child.take()));
                }
                inners.extend((0..closed).map(|_| Vec::new()));
                break;
            }
        }
        if !leaf.is_empty() {
            child = Some(self.leaf(tree, &leaf)?);
        }
        while let Some(inner) = inners.pop() {
            child = Some(self.inner(tree, &inner, child)?);
        }
        Ok(child)
    }

    fn leaf(&mut self, tree: &Tree<'_>, entries: &[usize]) -> Result<usize> {
        let mut node = Image::empty(tree.nodes.leaf);
        node.put(0, Image::of(&[LEAF]));
        for (index, entry) in entries.iter().enumerate() {
            self.entry(tree, *entry, index, &mut node)?;
        }
        let len = length(entries.len())?;
        node.put(tree.nodes.leaf_len, Image::of(&len.to_le_bytes()));
        self.place(node, tree.nodes.leaf.align)
    }

    fn inner(
        &mut self,
        tree: &Tree<'_>,
        entries: &[(usize, Option<usize>)],
        greater: Option<usize>,
    ) -> Result<usize> {
        let mut node = Image::empty(tree.nodes.inner);
        node.put(0, Image::of(&[INNER]));
        for (index, (entry, _)) in entries.iter().enumerate() {
            self.entry(tree, *entry, index, &mut node)?;
        }
        let children = entries.iter().map(|(_, lesser)| *lesser).chain([greater]);
        for (index, child) in children.enumerate() {
            let field = tree.nodes.lesser_nodes + index * WORD.size;
            match child {
                Some(child) => node.link(field, child),
                None => node.put(field, Image::of(&NOWHERE)),
            }
        }
        self.place(node, tree.nodes.inner.align)
    }

    fn entry(
        &mut self,
        tree: &Tree<'_>,
        entry: usize,
        index: usize,
        node: &mut Image,
    ) -> Result<()> {
        let (key, value) = tree.entries[entry];
        let context = |error: crate::error::Error| error.context(key);
        let image = self.image(tree.key, key).map_err(context)?;
        node.put(tree.nodes.keys + index * tree.layouts[0].size, image);
        if let Some(id) = tree.value {
            let image = self.image(id, value).map_err(context)?;
            node.put(tree.nodes.values + index * tree.layouts[1].size, image);
        }
        Ok(())
    }

    /// Whether `value` is of the type.
    fn check(&self, id: TypeId, value: &Value) -> Result<()> {
        Encoder::new(self.schema).image(id, value).map(drop)
    }

    /// The order that Rust derives for a type, of values that are of it.
    pub(super) fn compare(&self, id: TypeId, left: &Value, right: &Value) -> Ordering {
        match self.schema.type_of(id) {
            SchemaType::Unit | SchemaType::Structure(Fields::Unit) => Ordering::Equal,
            SchemaType::Bool => left.as_bool().cmp(&right.as_bool()),
            SchemaType::Char | SchemaType::Text => left.as_str().cmp(&right.as_str()),
            SchemaType::Integer { signed, .. } => compare_integers(*signed, left, right),
            SchemaType::Float { .. } => {
                let number = |value| float(value).unwrap_or_default();
                number(left).total_cmp(&number(right))
            }
            SchemaType::Boxed(inner) | SchemaType::Expiring(inner) => {
                self.compare(*inner, left, right)
            }
            SchemaType::Array { item, .. } | SchemaType::List(item) | SchemaType::Set(item) => {
                self.compare_items(left, right, |_| *item)
            }
            SchemaType::Tuple(ids) => self.compare_items(left, right, |index| ids[index]),
            SchemaType::Map(key, value) => self.compare_maps(*key, *value, left, right),
            SchemaType::Optional(inner) => match (left.is_null(), right.is_null()) {
                (false, false) if self.schema.is_nullable(*inner) => {
                    self.compare(*inner, &left["some"], &right["some"])
                }
                (false, false) => self.compare(*inner, left, right),
                (left, right) => right.cmp(&left),
            },
            SchemaType::Structure(fields) => self.compare_fields(fields, left, right),
            SchemaType::Enumeration(variants) => {
                let (left, right) = (variant_of(left), variant_of(right));
                let place = |name: &str| variants.iter().position(|(found, _)| found == name);
                let (left_place, right_place) = (place(left.0), place(right.0));
                left_place.cmp(&right_place).then_with(|| {
                    let fields = left_place.map_or(&Fields::Unit, |place| &variants[place].1);
                    self.compare_fields(fields, left.1, right.1)
                })
            }
        }
    }

    fn compare_fields(&self, fields: &Fields, left: &Value, right: &Value) -> Ordering {
        match fields {
            Fields::Unit => Ordering::Equal,
            Fields::Tuple(ids) if ids.len() == 1 => self.compare(ids[0], left, right),
            Fields::Tuple(ids) => self.compare_items(left, right, |index| ids[index]),
            Fields::Named(named) => named
                .iter()
                .map(|(name, id)| self.compare(*id, &left[name], &right[name]))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal),
        }
    }

    fn compare_items(&self, left: &Value, right: &Value, id: impl Fn(usize) -> TypeId) -> Ordering {
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let (left, right) = (items(left), items(right));
        let both = left.iter().zip(&right).enumerate();
        both.map(|(index, (left, right))| self.compare(id(index), left, right))
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len()))
    }

    /// Maps are compared entry by entry, a key before its value.
    fn compare_maps(&self, key: TypeId, value: TypeId, left: &Value, right: &Value) -> Ordering {
        let pairs = |map: &Value| -> Vec<(Value, Value)> {
            match map {
                Value::Object(object) => object
                    .iter()
                    .map(|(key, value)| (Value::String(key.clone()), value.clone()))
                    .collect(),
                other => other
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|pair| (pair[0].clone(), pair[1].clone()))
                    .collect(),
            }
        };
        let (left, right) = (pairs(left), pairs(right));
        left.iter()
            .zip(&right)
            .map(|(left, right)| {
                self.compare(key, &left.0, &right.0)
                    .then_with(|| self.compare(value, &left.1, &right.1))
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len()))
    }
}

/// The variant's name and what it holds.
fn variant_of(value: &Value) -> (&str, &Value) {
    match value {
        Value::Object(object) => match object.iter().next() {
            Some((name, content)) => (name, content),
            None => ("", &Value::Null),
        },
        other => (text_of(other).unwrap_or_default(), &Value::Null),
    }
}

fn compare_integers(signed: bool, left: &Value, right: &Value) -> Ordering {
    let digits = |value: &Value| match value {
        Value::String(digits) => digits.clone(),
        other => other.to_string(),
    };
    let (left, right) = (digits(left), digits(right));
    if signed {
        left.parse::<i128>().ok().cmp(&right.parse::<i128>().ok())
    } else {
        left.parse::<u128>().ok().cmp(&right.parse::<u128>().ok())
    }
}
