//! A schema as a graph of types, each with its place in memory.

use super::layout::{Layout, layouts};
use super::schema_parser::parse;

/// The number of a type in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeId(pub(super) usize);

/// A type of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SchemaType {
    Unit,
    Bool,
    Char,
    Text,
    Integer {
        bytes: usize,
        signed: bool,
    },
    Float {
        bytes: usize,
    },
    Array {
        item: TypeId,
        len: usize,
    },
    Tuple(Vec<TypeId>),
    /// A list or a deque: both are archived in the same way.
    List(TypeId),
    Set(TypeId),
    Map(TypeId, TypeId),
    Boxed(TypeId),
    Optional(TypeId),
    /// A value that lies behind its end.
    Expiring(TypeId),
    Structure(Fields),
    Enumeration(Vec<(String, Fields)>),
}

/// The fields of a struct or of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    Unit,
    Tuple(Vec<TypeId>),
    Named(Vec<(String, TypeId)>),
}

/// The schema of a key or a value, as a descriptor says it, understood.
#[derive(Clone, Debug)]
pub(super) struct ValueSchema {
    types: Vec<SchemaType>,
    /// One for each type.
    layouts: Vec<Layout>,
    root: TypeId,
}

impl ValueSchema {
    /// Reads a text such as `struct { price: f64 } (8 bytes, alignment 8)`. Nothing when it has words that are not known
    /// here, or when the size that it states is not that of what it describes: then the type is archived in a way of its
    /// own.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (description, stated) = split_size(text)?;
        let (types, root) = parse(description)?;
        let layouts = layouts(&types)?;
        (layouts[root.0] == stated).then_some(Self {
            types,
            layouts,
            root,
        })
    }

    /// The type of the whole.
    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    /// A type. Its number must be one of this schema's.
    pub(super) fn type_of(&self, id: TypeId) -> &SchemaType {
        &self.types[id.0]
    }

    /// Where a value of a type lies.
    pub(super) fn layout(&self, id: TypeId) -> Layout {
        self.layouts[id.0]
    }

    /// Whether its values are texts in JSON.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.shown_type(), SchemaType::Text | SchemaType::Char)
    }

    /// The names of the fields when it is a struct with names.
    pub(super) fn field_names(&self) -> Option<Vec<&str>> {
        let fields = self.named_fields()?;
        Some(fields.iter().map(|(name, _)| name.as_str()).collect())
    }

    /// The fields when it is a struct with names.
    pub(super) fn named_fields(&self) -> Option<&[(String, TypeId)]> {
        match self.shown_type() {
            SchemaType::Structure(Fields::Named(named)) => Some(named),
            _ => None,
        }
    }

    /// The whole, or what lies behind its end.
    pub(super) fn shown(&self) -> TypeId {
        match self.type_of(self.root) {
            SchemaType::Expiring(value) => *value,
            _ => self.root,
        }
    }

    fn shown_type(&self) -> &SchemaType {
        self.type_of(self.shown())
    }

    /// Whether a value of this type can be `null` in JSON.
    pub(super) fn is_nullable(&self, id: TypeId) -> bool {
        matches!(
            self.type_of(self.unwrapped(id)),
            SchemaType::Unit | SchemaType::Optional(_) | SchemaType::Structure(Fields::Unit)
        )
    }

    /// Whether a cell of a table shows its values as they are: texts, which may look like JSON, and integers, which may
    /// have more digits than a number of JSON.
    pub(super) fn is_plain(&self, id: TypeId) -> bool {
        match self.type_of(self.unwrapped(id)) {
            SchemaType::Text | SchemaType::Char | SchemaType::Integer { .. } => true,
            SchemaType::Optional(inner) => !self.is_nullable(*inner) && self.is_plain(*inner),
            _ => false,
        }
    }

    /// What JSON shows of a type: that in a box, and the only field of a struct without names.
    fn unwrapped(&self, id: TypeId) -> TypeId {
        // A type that leads to itself in this way alone has no value.
        let mut id = id;
        for _ in 0..self.types.len() {
            id = match self.type_of(id) {
                SchemaType::Boxed(inner) => *inner,
                SchemaType::Structure(Fields::Tuple(items)) if items.len() == 1 => items[0],
                _ => return id,
            };
        }
        id
    }
}

/// Takes the size that a descriptor's text ends with off it.
pub(super) fn split_size(text: &str) -> Option<(&str, Layout)> {
    let (description, size) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let (size, align) = size.split_once(" bytes, alignment ")?;
    let layout = Layout {
        size: size.parse().ok()?,
        align: align.parse().ok()?,
    };
    Some((description, layout))
}
