//! Where the archive of each type has its parts: what rkyv 0.8 does with the features that Floodmark is built with.

use super::value_schema::{Fields, SchemaType, TypeId};

/// No archived value is larger: it would not be written either.
const SIZE_MAX: usize = 1 << 30;

/// How many entries a node of an archived B-tree has at most.
pub(super) const NODE_ENTRIES: usize = 5;

/// The size and the alignment of an archived value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// In bytes.
    pub(super) size: usize,
    /// In bytes, a power of two.
    pub(super) align: usize,
}

/// A struct in the making, field after field, as C lays it out.
#[derive(Clone, Copy, Debug)]
pub(super) struct StructLayout {
    size: usize,
    align: usize,
}

/// Where the parts of the nodes of an archived B-tree lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeLayout {
    /// The first key; the others follow.
    pub(super) keys: usize,
    /// The first value; the others follow.
    pub(super) values: usize,
    /// The number of entries of a leaf.
    pub(super) leaf_len: usize,
    /// The first pointer to a lesser node; the others follow, and behind them the pointer to the greater one.
    pub(super) lesser_nodes: usize,
    /// A leaf as a whole.
    pub(super) leaf: Layout,
    /// An inner node as a whole.
    pub(super) inner: Layout,
}

/// A pointer, or a number of things: 32 bits.
pub(super) const WORD: Layout = Layout { size: 4, align: 4 };
/// A pointer and a number: a list, a text, a map.
pub(super) const TWO_WORDS: Layout = Layout { size: 8, align: 4 };
/// The end of a value with a time-to-live.
pub(super) const END: Layout = Layout { size: 8, align: 1 };

impl StructLayout {
    /// No field yet.
    pub(super) fn new() -> Self {
        Self { size: 0, align: 1 }
    }

    /// Adds `count` fields of one layout; says where the first lies. Nothing when it is too large.
    pub(super) fn push_many(&mut self, field: Layout, count: usize) -> Option<usize> {
        let offset = self.size.checked_next_multiple_of(field.align)?;
        self.size = field.size.checked_mul(count)?.checked_add(offset)?;
        self.align = self.align.max(field.align);
        (self.size <= SIZE_MAX).then_some(offset)
    }

    /// Adds a field; says where it lies. Nothing when it is too large.
    pub(super) fn push(&mut self, field: Layout) -> Option<usize> {
        self.push_many(field, 1)
    }

    /// The whole.
    pub(super) fn finish(self) -> Layout {
        Layout {
            size: self.size.next_multiple_of(self.align),
            align: self.align,
        }
    }
}

impl NodeLayout {
    /// The nodes of a B-tree with such keys and values.
    pub(super) fn new(key: Layout, value: Layout) -> Option<Self> {
        let mut node = StructLayout::new();
        node.push(Layout { size: 1, align: 1 })?;
        let keys = node.push_many(key, NODE_ENTRIES)?;
        let values = node.push_many(value, NODE_ENTRIES)?;
        let node = node.finish();
        let mut leaf = StructLayout::new();
        leaf.push(node)?;
        let leaf_len = leaf.push(WORD)?;
        let mut inner = StructLayout::new();
        inner.push(node)?;
        let lesser_nodes = inner.push_many(WORD, NODE_ENTRIES + 1)?;
        Some(Self {
            keys,
            values,
            leaf_len,
            lesser_nodes,
            leaf: leaf.finish(),
            inner: inner.finish(),
        })
    }
}

/// The layout of the number that says which variant an enum is.
pub(super) fn tag_layout(variants: usize) -> Layout {
    match variants {
        0..=256 => Layout { size: 1, align: 1 },
        _ => Layout { size: 2, align: 2 },
    }
}

/// The types of a struct's or a variant's fields, in their order.
pub(super) fn field_types(fields: &Fields) -> Vec<TypeId> {
    match fields {
        Fields::Unit => Vec::new(),
        Fields::Tuple(items) => items.clone(),
        Fields::Named(named) => named.iter().map(|(_, id)| *id).collect(),
    }
}

/// The layouts of all types of a schema; nothing when a type would be too large, or would hold itself.
pub(super) fn layouts(types: &[SchemaType]) -> Option<Vec<Layout>> {
    let mut solver = Solver {
        types,
        found: vec![Found::Unknown; types.len()],
    };
    (0..types.len())
        .map(|id| solver.solve(TypeId(id)))
        .collect()
}

#[derive(Clone, Copy)]
enum Found {
    Unknown,
    /// It is being worked out: whoever asks for it now holds it.
    Begun,
    Known(Layout),
}

struct Solver<'a> {
    types: &'a [SchemaType],
    found: Vec<Found>,
}

impl Solver<'_> {
    fn solve(&mut self, id: TypeId) -> Option<Layout> {
        match self.found[id.0] {
            Found::Known(layout) => return Some(layout),
            Found::Begun => return None,
            Found::Unknown => self.found[id.0] = Found::Begun,
        }
        let layout = self.work_out(id)?;
        self.found[id.0] = Found::Known(layout);
        Some(layout)
    }

    fn work_out(&mut self, id: TypeId) -> Option<Layout> {
        let number = |size| Layout { size, align: size };
        let types = self.types;
        Some(match &types[id.0] {
            SchemaType::Unit => Layout { size: 0, align: 1 },
            SchemaType::Bool => number(1),
            SchemaType::Char => number(4),
            SchemaType::Integer { bytes, .. } | SchemaType::Float { bytes } => number(*bytes),
            SchemaType::Text | SchemaType::List(_) | SchemaType::Set(_) | SchemaType::Map(_, _) => {
                TWO_WORDS
            }
            SchemaType::Boxed(_) => WORD,
            SchemaType::Array { item, len } => {
                let mut layout = StructLayout::new();
                layout.push_many(self.solve(*item)?, *len)?;
                layout.finish()
            }
            SchemaType::Tuple(items) => self.structure(StructLayout::new(), items)?,
            SchemaType::Structure(fields) => {
                self.structure(StructLayout::new(), &field_types(fields))?
            }
            SchemaType::Optional(inner) => {
                let mut some = StructLayout::new();
                some.push(tag_layout(2))?;
                self.structure(some, &[*inner])?
            }
            SchemaType::Expiring(value) => {
                let mut layout = StructLayout::new();
                layout.push(END)?;
                self.structure(layout, &[*value])?
            }
            SchemaType::Enumeration(variants) => self.enumeration(variants)?,
        })
    }

    fn structure(&mut self, mut layout: StructLayout, items: &[TypeId]) -> Option<Layout> {
        for item in items {
            layout.push(self.solve(*item)?)?;
        }
        Some(layout.finish())
    }

    /// All variants lie in one place, each a struct that begins with the tag.
    fn enumeration(&mut self, variants: &[(String, Fields)]) -> Option<Layout> {
        let tag = tag_layout(variants.len());
        let mut whole = tag;
        for (_, fields) in variants {
            let mut variant = StructLayout::new();
            variant.push(tag)?;
            let variant = self.structure(variant, &field_types(fields))?;
            whole.size = whole.size.max(variant.size);
            whole.align = whole.align.max(variant.align);
        }
        whole.size = whole.size.next_multiple_of(whole.align);
        Some(whole)
    }
}
