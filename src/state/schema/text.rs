//! The text of a schema, and how a type writes its own.

use std::any::TypeId;

use rkyv::{Archive, Archived};

/// A type that can say how its archive is laid out.
///
/// The text goes into every checkpoint. A restore compares it with the text of the registered type, and refuses a
/// difference unless a migration is registered: [`crate::state::StateSpec::with_migration`].
///
/// What counts is structure: the names of fields and variants, their types and their order. The name of a struct or an
/// enum does not count, nor does the module that it is in, so both can be renamed and moved, and an old layout can be
/// kept under another name for a migration.
///
/// Numbers, `bool`, `char`, `()`, `String`, arrays, tuples, `Vec`, `VecDeque`, `Option`, `Box`, `BTreeMap` and `BTreeSet`
/// have schemas. A type of one's own has one when it is defined in [`state_schema!`](crate::state_schema). By hand it is
/// done for a type that is archived in a way of its own:
///
/// ```
/// use floodmark::state::{SchemaText, StateSchema};
///
/// struct Decimal;
///
/// impl StateSchema for Decimal {
///     fn describe(schema: &mut SchemaText) {
///         schema.word("decimal, 16 bytes of text");
///     }
/// }
/// assert_eq!(SchemaText::of::<Vec<Option<Decimal>>>(), "list<option<decimal, 16 bytes of text>>");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no state schema",
    note = "define the type in `floodmark::state_schema! {{ ... }}`, so that a checkpoint can say how it is laid out"
)]
pub trait StateSchema: 'static {
    /// Writes the schema of the type.
    fn describe(schema: &mut SchemaText);
}

/// A schema that is being written.
#[derive(Debug, Default)]
pub struct SchemaText {
    text: String,
    /// The structs and enums whose description has begun and not ended, the outermost first.
    open: Vec<TypeId>,
}

/// Writes the schema of a part, as in `<u64 as StateSchema>::describe`.
type Describe = fn(&mut SchemaText);

/// The fields of a struct or of a variant.
#[derive(Clone, Copy, Debug)]
pub enum SchemaFields<'a> {
    /// None.
    Unit,
    /// Fields without names.
    Tuple(&'a [Describe]),
    /// Fields with names.
    Named(&'a [(&'a str, Describe)]),
}

impl SchemaText {
    /// The schema of a type, as text.
    pub fn of<T: StateSchema>() -> String {
        let mut schema = Self::default();
        T::describe(&mut schema);
        schema.text
    }

    /// Writes a word as it is.
    pub fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    /// Writes a type with parameters, as in `map<u64, string>`.
    pub fn generic(&mut self, name: &str, parameters: &[Describe]) {
        self.word(name);
        self.list(["<", ">"], parameters, |schema, describe| describe(schema));
    }

    /// Writes a struct, as in `struct { price: f64, size: u32 }`.
    pub fn structure<T: 'static>(&mut self, fields: SchemaFields<'_>) {
        self.definition::<T>(|schema| {
            schema.word("struct");
            schema.fields(fields);
        });
    }

    /// Writes an enum, as in `enum { Buy, Limit { price: f64 }, Sell (u32) }`.
    pub fn enumeration<T: 'static>(&mut self, variants: &[(&str, SchemaFields<'_>)]) {
        self.definition::<T>(|schema| {
            schema.word("enum");
            schema.list([" { ", " }"], variants, |schema, (name, fields)| {
                schema.word(name);
                schema.fields(*fields);
            });
        });
    }

    /// Writes a tuple, as in `(u64, string)`.
    pub fn tuple(&mut self, items: &[Describe]) {
        self.list(["(", ")"], items, |schema, describe| describe(schema));
    }

    /// Writes a definition, unless it is met within itself: then `^1` says that the innermost definition around is meant,
    /// `^2` the one around that.
    fn definition<T: 'static>(&mut self, write: impl FnOnce(&mut Self)) {
        let id = TypeId::of::<T>();
        if let Some(depth) = self.open.iter().rev().position(|open| *open == id) {
            self.word(&format!("^{}", depth + 1));
            return;
        }
        self.open.push(id);
        write(self);
        self.open.pop();
    }

    fn fields(&mut self, fields: SchemaFields<'_>) {
        match fields {
            SchemaFields::Unit => {}
            SchemaFields::Tuple(items) => {
                self.word(" ");
                self.tuple(items);
            }
            SchemaFields::Named(named) => {
                self.list([" { ", " }"], named, |schema, (name, describe)| {
                    schema.word(name);
                    schema.word(": ");
                    describe(schema);
                });
            }
        }
    }

    fn list<I>(&mut self, [open, close]: [&str; 2], items: &[I], write: impl Fn(&mut Self, &I)) {
        self.word(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.word(", ");
            }
            write(self, item);
        }
        self.word(close);
    }
}

/// A type as a descriptor names it. Size and alignment of the archive are said too: they give away an archive that was
/// given another layout by an attribute of the type.
pub(in crate::state) fn schema_text<T: StateSchema + Archive>() -> String {
    format!(
        "{} ({} bytes, alignment {})",
        SchemaText::of::<T>(),
        size_of::<Archived<T>>(),
        align_of::<Archived<T>>()
    )
}
