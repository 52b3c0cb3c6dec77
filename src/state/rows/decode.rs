//! From the bytes of an archive to a value that can be shown, by the schema alone.

use super::layout::{END, Layout, StructLayout, field_types, tag_layout};
use super::row_value::RowValue;
use super::value_schema::{Fields, SchemaType, TypeId, ValueSchema};
use crate::error::Result;
use crate::state::piece::corrupt;

/// How deeply a value can be nested: a chain of boxes, for instance. Longer ones would take the stack with them.
const DEPTH_MAX: usize = 200;

/// How many values without a size a list can have: its length is all that is stored of them, and so nothing checks it.
const SIZELESS_ITEMS_MAX: usize = 1 << 16;

/// Reads the archive that `bytes` are; the root is at its end.
///
/// # Errors
/// [`crate::error::ErrorKind::Corrupt`] when the bytes are not an archive of this schema.
pub(super) fn decode(schema: &ValueSchema, bytes: &[u8]) -> Result<RowValue> {
    let (mut decoder, root) = Decoder::new(schema, bytes)?;
    decoder.value(schema.root(), root)
}

/// Reads the archive of a value with an end; gives the value, and the end in milliseconds since the Unix epoch.
///
/// # Errors
/// [`crate::error::ErrorKind::Corrupt`] when the bytes are not an archive of this schema.
pub(super) fn decode_expiring(schema: &ValueSchema, bytes: &[u8]) -> Result<(RowValue, i64)> {
    let SchemaType::Expiring(value) = schema.type_of(schema.root()) else {
        return Err(corrupt("a value has no end, and its state a time-to-live"));
    };
    let (mut decoder, root) = Decoder::new(schema, bytes)?;
    let expires_unix_millis = decoder.number::<8>(root).map(i64::from_le_bytes)?;
    let at = root + offsets(StructLayout::new(), &[END, schema.layout(*value)])?[1];
    Ok((decoder.value(*value, at)?, expires_unix_millis))
}

/// Walks over an archive, and believes nothing of it.
pub(super) struct Decoder<'a> {
    pub(super) schema: &'a ValueSchema,
    bytes: &'a [u8],
    /// How many bytes belong to values already. An archive has no byte twice, so there are never more than it has; bytes
    /// that say otherwise could be made to unfold for ever.
    claimed: usize,
    depth: usize,
}

impl<'a> Decoder<'a> {
    fn new(schema: &'a ValueSchema, bytes: &'a [u8]) -> Result<(Self, usize)> {
        let mut decoder = Self {
            schema,
            bytes,
            claimed: 0,
            depth: 0,
        };
        let layout = schema.layout(schema.root());
        let root = bytes.len().checked_sub(layout.size);
        let root = root.ok_or_else(|| corrupt("it is shorter than its type"))?;
        decoder.claim(root, layout)?;
        Ok((decoder, root))
    }

    /// The value of a type at a place that is claimed.
    pub(super) fn value(&mut self, id: TypeId, at: usize) -> Result<RowValue> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(corrupt("its parts are nested too deeply"));
        }
        let value = self.value_of(id, at);
        self.depth -= 1;
        value
    }

    fn value_of(&mut self, id: TypeId, at: usize) -> Result<RowValue> {
        let schema = self.schema;
        Ok(match schema.type_of(id) {
            SchemaType::Unit => RowValue::Null,
            SchemaType::Bool => match self.take(at, 1)? {
                [0] => RowValue::Bool(false),
                [1] => RowValue::Bool(true),
                _ => return Err(corrupt("a truth value is neither 0 nor 1")),
            },
            SchemaType::Char => {
                let code = u32::from_le_bytes(self.number(at)?);
                let letter = char::from_u32(code);
                RowValue::Text(
                    letter
                        .ok_or_else(|| corrupt("a number is no character"))?
                        .into(),
                )
            }
            SchemaType::Text => RowValue::Text(self.text(at)?.to_owned()),
            SchemaType::Integer { bytes, signed } => self.integer(at, *bytes, *signed)?,
            SchemaType::Float { bytes: 4 } => {
                let value = f32::from_le_bytes(self.number(at)?);
                // The shortest digits that tell the number among those of its own size.
                RowValue::from_float(value.to_string().parse().unwrap_or(f64::from(value)))
            }
            SchemaType::Float { .. } => RowValue::from_float(f64::from_le_bytes(self.number(at)?)),
            SchemaType::Array { item, len } => self.items(*item, at, *len)?,
            SchemaType::Tuple(items) => {
                RowValue::List(self.fields(StructLayout::new(), items, at)?)
            }
            SchemaType::List(item) => {
                let (start, len) = self.pointed_list(at, schema.layout(*item))?;
                self.items(*item, start, len)?
            }
            SchemaType::Set(item) => self.set(*item, at)?,
            SchemaType::Map(key, value) => self.map(*key, *value, at)?,
            SchemaType::Boxed(inner) => {
                let target = self.pointer(at)?;
                self.claim(target, schema.layout(*inner))?;
                self.value(*inner, target)?
            }
            SchemaType::Optional(inner) => self.optional(*inner, at)?,
            SchemaType::Expiring(value) => {
                let offset = offsets(StructLayout::new(), &[END, schema.layout(*value)])?[1];
                self.value(*value, at + offset)?
            }
            SchemaType::Structure(fields) => {
                let items = self.fields(StructLayout::new(), &field_types(fields), at)?;
                structure(fields, items)
            }
            SchemaType::Enumeration(variants) => self.enumeration(variants, at)?,
        })
    }

    fn integer(&self, at: usize, bytes: usize, signed: bool) -> Result<RowValue> {
        let stored = self.take(at, bytes)?;
        let negative = signed && stored.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut whole = [if negative { 0xff } else { 0 }; 16];
        whole[..bytes].copy_from_slice(stored);
        Ok(match (bytes, signed) {
            (16, false) => RowValue::Text(u128::from_le_bytes(whole).to_string()),
            (16, true) => RowValue::Text(i128::from_le_bytes(whole).to_string()),
            _ => RowValue::Integer(i128::from_le_bytes(whole)),
        })
    }

    /// A text of up to 8 bytes lies in its place, a longer one elsewhere: then the topmost bits of the first byte are 10.
    fn text(&mut self, at: usize) -> Result<&'a str> {
        let inline = self.take(at, 8)?;
        let bytes = if inline[0] & 0xc0 == 0x80 {
            let word = u32::from_le_bytes(self.number(at)?);
            let len = ((word & 0x3f) | ((word & !0xff) >> 2)) as usize;
            if len <= inline.len() {
                return Err(corrupt("a short text lies where a long one should"));
            }
            let target = self.target(at, at + 4)?;
            self.claim(
                target,
                Layout {
                    size: len,
                    align: 1,
                },
            )?;
            self.take(target, len)?
        } else {
            let len = inline.iter().position(|byte| *byte == 0xff);
            &inline[..len.unwrap_or(inline.len())]
        };
        std::str::from_utf8(bytes).map_err(|_| corrupt("a text is not UTF-8"))
    }

    fn optional(&mut self, inner: TypeId, at: usize) -> Result<RowValue> {
        match self.take(at, 1)? {
            [0] => Ok(RowValue::Null),
            [1] => {
                let offset = offsets(tagged(2)?, &[self.schema.layout(inner)])?[0];
                let value = self.value(inner, at + offset)?;
                Ok(if self.schema.is_nullable(inner) {
                    RowValue::Record(vec![("some".to_owned(), value)])
                } else {
                    value
                })
            }
            _ => Err(corrupt("an option is neither there nor not")),
        }
    }

    fn enumeration(&mut self, variants: &[(String, Fields)], at: usize) -> Result<RowValue> {
        let tag = match tag_layout(variants.len()).size {
            1 => usize::from(self.take(at, 1)?[0]),
            _ => usize::from(u16::from_le_bytes(self.number(at)?)),
        };
        let (name, fields) = variants
            .get(tag)
            .ok_or_else(|| corrupt(format!("an enum has no variant {tag}")))?;
        if *fields == Fields::Unit {
            return Ok(RowValue::Text(name.clone()));
        }
        let items = self.fields(tagged(variants.len())?, &field_types(fields), at)?;
        Ok(RowValue::Record(vec![(
            name.clone(),
            structure(fields, items),
        )]))
    }

    fn fields(&mut self, start: StructLayout, ids: &[TypeId], at: usize) -> Result<Vec<RowValue>> {
        let layouts: Vec<Layout> = ids.iter().map(|id| self.schema.layout(*id)).collect();
        let offsets = offsets(start, &layouts)?;
        ids.iter()
            .zip(offsets)
            .map(|(id, offset)| self.value(*id, at + offset))
            .collect()
    }

    /// Values of one type, one behind the other.
    fn items(&mut self, item: TypeId, start: usize, len: usize) -> Result<RowValue> {
        let size = self.schema.layout(item).size;
        if size == 0 && len > SIZELESS_ITEMS_MAX {
            return Err(corrupt("a list of values without a size is too long"));
        }
        let items = (0..len).map(|index| self.value(item, start + index * size));
        Ok(RowValue::List(items.collect::<Result<_>>()?))
    }

    fn pointed_list(&mut self, at: usize, item: Layout) -> Result<(usize, usize)> {
        let len = self.length(at + 4)?;
        if len == 0 {
            return Ok((0, 0));
        }
        let start = self.pointer(at)?;
        let size = item.size.checked_mul(len);
        let size = size.ok_or_else(|| corrupt("a list is longer than all its bytes"))?;
        self.claim(start, Layout { size, ..item })?;
        Ok((start, len))
    }

    /// A number of things.
    pub(super) fn length(&self, at: usize) -> Result<usize> {
        Ok(u32::from_le_bytes(self.number(at)?) as usize)
    }

    /// Where the pointer at `at` leads to.
    pub(super) fn pointer(&self, at: usize) -> Result<usize> {
        self.target(at, at)
    }

    /// Whether the pointer at `at` leads nowhere: rkyv marks it so, since nothing lies within the pointer itself.
    pub(super) fn is_null(&self, at: usize) -> Result<bool> {
        Ok(i32::from_le_bytes(self.number(at)?) == 1)
    }

    /// Where the distance stored at `field` leads to, counted from `origin`.
    fn target(&self, origin: usize, field: usize) -> Result<usize> {
        let distance = i32::from_le_bytes(self.number(field)?);
        origin
            .checked_add_signed(distance as isize)
            .ok_or_else(|| corrupt("a pointer leads before the first byte"))
    }

    /// Says that a value lies there; no other one may.
    pub(super) fn claim(&mut self, at: usize, layout: Layout) -> Result<()> {
        let end = at.checked_add(layout.size);
        if end.is_none_or(|end| end > self.bytes.len()) {
            return Err(corrupt("a part of it reaches beyond its end"));
        }
        if layout.size > 0 && !at.is_multiple_of(layout.align) {
            return Err(corrupt("a part of it is not aligned"));
        }
        self.claimed = self.claimed.saturating_add(layout.size);
        if self.claimed > self.bytes.len() {
            return Err(corrupt("its parts overlap"));
        }
        Ok(())
    }

    pub(super) fn take(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        at.checked_add(len)
            .and_then(|end| self.bytes.get(at..end))
            .ok_or_else(|| corrupt("a part of it reaches beyond its end"))
    }

    fn number<const LEN: usize>(&self, at: usize) -> Result<[u8; LEN]> {
        let bytes = self.take(at, LEN)?;
        bytes
            .try_into()
            .map_err(|_| corrupt("a part of it reaches beyond its end"))
    }
}

/// What a struct is made of, put together.
fn structure(fields: &Fields, mut items: Vec<RowValue>) -> RowValue {
    match fields {
        Fields::Unit => RowValue::Null,
        Fields::Tuple(_) if items.len() == 1 => items.remove(0),
        Fields::Tuple(_) => RowValue::List(items),
        Fields::Named(named) => {
            let names = named.iter().map(|(name, _)| name.clone());
            RowValue::Record(names.zip(items).collect())
        }
    }
}

/// A struct that begins with the number that tells so many variants apart.
pub(super) fn tagged(variants: usize) -> Result<StructLayout> {
    let mut layout = StructLayout::new();
    layout.push(tag_layout(variants)).ok_or_else(too_large)?;
    Ok(layout)
}

/// Where the fields of a struct lie.
pub(super) fn offsets(mut start: StructLayout, fields: &[Layout]) -> Result<Vec<usize>> {
    let mut push = |field: &Layout| start.push(*field).ok_or_else(too_large);
    fields.iter().map(&mut push).collect()
}

fn too_large() -> crate::error::Error {
    corrupt("its type is too large")
}
