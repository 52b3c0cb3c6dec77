//! Reads the text of a schema, as [`SchemaText`](crate::state::SchemaText) writes it.

use super::value_schema::{Fields, SchemaType, TypeId};

/// How deeply a schema can be nested. Types of people are not, and a text that is would take the stack with it.
const DEPTH_MAX: usize = 100;

/// All types of a schema, and which of them the whole is; nothing when the text has other words than Floodmark's own.
pub(super) fn parse(text: &str) -> Option<(Vec<SchemaType>, TypeId)> {
    let mut parser = Parser {
        rest: text,
        types: Vec::new(),
        open: Vec::new(),
        depth: 0,
    };
    let root = parser.whole_type()?;
    parser.rest.is_empty().then_some((parser.types, root))
}

struct Parser<'a> {
    rest: &'a str,
    types: Vec<SchemaType>,
    /// The structs and enums whose description has begun and not ended, the outermost first.
    open: Vec<TypeId>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn whole_type(&mut self) -> Option<TypeId> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let id = self.any_type();
        self.depth -= 1;
        id
    }

    fn any_type(&mut self) -> Option<TypeId> {
        if self.takes("()") {
            return Some(self.add(SchemaType::Unit));
        }
        if self.takes("(") {
            let items = self.list(")", Self::whole_type)?;
            return Some(self.add(SchemaType::Tuple(items)));
        }
        if self.takes("[") {
            return self.array();
        }
        if self.takes("^") {
            let depth: usize = self.digits()?.parse().ok()?;
            return self.open.iter().rev().nth(depth.checked_sub(1)?).copied();
        }
        match self.word()? {
            "struct" => self.definition(|parser| Some(SchemaType::Structure(parser.fields()?))),
            "enum" => self.definition(Self::enumeration),
            word => self.named_type(word),
        }
    }

    fn array(&mut self) -> Option<TypeId> {
        let item = self.whole_type()?;
        self.expect("; ")?;
        let len = self.digits()?.parse().ok()?;
        self.expect("]")?;
        Some(self.add(SchemaType::Array { item, len }))
    }

    fn named_type(&mut self, word: &str) -> Option<TypeId> {
        let integer = |bytes, signed| SchemaType::Integer { bytes, signed };
        let plain = match word {
            "bool" => SchemaType::Bool,
            "char" => SchemaType::Char,
            "string" => SchemaType::Text,
            "u8" => integer(1, false),
            "u16" => integer(2, false),
            // Archives have 32-bit pointers, and so lengths.
            "u32" | "usize" => integer(4, false),
            "u64" => integer(8, false),
            "u128" => integer(16, false),
            "i8" => integer(1, true),
            "i16" => integer(2, true),
            "i32" | "isize" => integer(4, true),
            "i64" => integer(8, true),
            "i128" => integer(16, true),
            "f32" => SchemaType::Float { bytes: 4 },
            "f64" => SchemaType::Float { bytes: 8 },
            _ => return self.container(word),
        };
        Some(self.add(plain))
    }

    fn container(&mut self, word: &str) -> Option<TypeId> {
        self.expect("<")?;
        let parameters = self.list(">", Self::whole_type)?;
        let container = match (word, parameters.as_slice()) {
            ("list" | "deque", [item]) => SchemaType::List(*item),
            ("set", [item]) => SchemaType::Set(*item),
            ("box", [inner]) => SchemaType::Boxed(*inner),
            ("option", [inner]) => SchemaType::Optional(*inner),
            ("expiring", [value]) => SchemaType::Expiring(*value),
            ("map", [key, value]) => SchemaType::Map(*key, *value),
            _ => return None,
        };
        Some(self.add(container))
    }

    /// A struct or an enum. Its number is given before its parts are read, since these can lead back to it.
    fn definition(&mut self, read: impl FnOnce(&mut Self) -> Option<SchemaType>) -> Option<TypeId> {
        let id = self.add(SchemaType::Unit);
        self.open.push(id);
        let defined = read(self)?;
        self.open.pop();
        self.types[id.0] = defined;
        Some(id)
    }

    fn enumeration(&mut self) -> Option<SchemaType> {
        self.expect(" { ")?;
        let variants = self.list(" }", |parser| {
            let name = parser.word()?.to_owned();
            Some((name, parser.fields()?))
        })?;
        // Nothing can be a value of an enum without variants, and no number tells more variants apart.
        (1..=usize::from(u16::MAX))
            .contains(&variants.len())
            .then_some(SchemaType::Enumeration(variants))
    }

    fn fields(&mut self) -> Option<Fields> {
        if self.takes(" { ") {
            let named = self.list(" }", |parser| {
                let name = parser.word()?.to_owned();
                parser.expect(": ")?;
                Some((name, parser.whole_type()?))
            })?;
            return Some(Fields::Named(named));
        }
        if self.takes(" (") {
            return Some(Fields::Tuple(self.list(")", Self::whole_type)?));
        }
        Some(Fields::Unit)
    }

    /// Items with commas between them, up to `close`.
    fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut items = Vec::new();
        if self.takes(close) {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.takes(close) {
                return Some(items);
            }
            self.expect(", ")?;
        }
    }

    fn add(&mut self, new: SchemaType) -> TypeId {
        self.types.push(new);
        TypeId(self.types.len() - 1)
    }

    fn takes(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.takes(text).then_some(())
    }

    /// A name; `#` is in those that would be keywords, as in `r#type`.
    fn word(&mut self) -> Option<&'a str> {
        self.take_while(|letter| letter.is_alphanumeric() || letter == '_' || letter == '#')
    }

    fn digits(&mut self) -> Option<&'a str> {
        self.take_while(|letter| letter.is_ascii_digit())
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.rest.find(|letter| !belongs(letter));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }
}
