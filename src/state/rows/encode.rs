//! From JSON to the bytes of an archive, by the schema alone: the very bytes that rkyv would write for such a value.
//!
//! A key is found by the hash of its bytes, so they must be the same to the last one, the order of the parts included:
//! what lies elsewhere is written first, field by field, and the value itself behind it.

use serde_json::Value;

use super::decode::{offsets, tagged};
use super::layout::{END, Layout, StructLayout, WORD, tag_layout};
use super::value_schema::{Fields, SchemaType, TypeId, ValueSchema};
use crate::error::{Error, ErrorKind, Result};

/// How many bytes a text has at most that lies in its own place.
const INLINE_TEXT_BYTES: usize = 8;

/// Makes an archive of `value`.
///
/// # Errors
/// [`ErrorKind::Data`] when the value is not one of this schema; the message says which part of it.
pub(super) fn encode(schema: &ValueSchema, value: &Value) -> Result<Vec<u8>> {
    let mut encoder = Encoder::new(schema);
    let image = encoder.image(schema.root(), value)?;
    encoder.place(image, schema.layout(schema.root()).align)?;
    Ok(encoder.bytes)
}

/// Makes an archive of `value` with its end, by the schema of a value with an end.
///
/// # Errors
/// As for [`encode`].
pub(super) fn encode_expiring(
    schema: &ValueSchema,
    value: &Value,
    expires_unix_millis: i64,
) -> Result<Vec<u8>> {
    let SchemaType::Expiring(inner) = schema.type_of(schema.root()) else {
        return Err(wrong("its values have no end"));
    };
    let mut encoder = Encoder::new(schema);
    let image = encoder.image(*inner, value)?;
    let whole = schema.layout(schema.root());
    let offset = offsets(StructLayout::new(), &[END, schema.layout(*inner)])?[1];
    let mut record = Image::empty(whole);
    record.put(0, Image::of(&expires_unix_millis.to_le_bytes()));
    record.put(offset, image);
    encoder.place(record, whole.align)?;
    Ok(encoder.bytes)
}

/// The archive as far as it is written.
pub(super) struct Encoder<'a> {
    pub(super) schema: &'a ValueSchema,
    bytes: Vec<u8>,
}

/// The bytes of a value that has no place yet.
pub(super) struct Image {
    bytes: Vec<u8>,
    links: Vec<Link>,
}

/// A pointer within an image: a distance that is known when the image has its place.
struct Link {
    /// Where the distance is stored.
    field: usize,
    /// Where it is counted from.
    origin: usize,
    /// Where in the archive it leads to.
    target: usize,
}

impl Image {
    /// Nothing but zeros.
    pub(super) fn empty(layout: Layout) -> Self {
        Self::of(&vec![0; layout.size])
    }

    /// These bytes, without a pointer.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            links: Vec::new(),
        }
    }

    /// Puts a part into its place.
    pub(super) fn put(&mut self, offset: usize, part: Self) {
        self.bytes[offset..offset + part.bytes.len()].copy_from_slice(&part.bytes);
        self.links.extend(part.links.into_iter().map(|link| Link {
            field: link.field + offset,
            origin: link.origin + offset,
            ..link
        }));
    }

    /// Lets the pointer at `field` lead to `target`.
    pub(super) fn link(&mut self, field: usize, target: usize) {
        self.links.push(Link {
            field,
            origin: field,
            target,
        });
    }
}

impl<'a> Encoder<'a> {
    /// Nothing is written yet.
    pub(super) fn new(schema: &'a ValueSchema) -> Self {
        Self {
            schema,
            bytes: Vec::new(),
        }
    }

    /// Gives an image its place at the end; says where.
    pub(super) fn place(&mut self, mut image: Image, align: usize) -> Result<usize> {
        let start = self.bytes.len().next_multiple_of(align);
        for link in &image.links {
            let distance = (link.target as i64) - ((start + link.origin) as i64);
            let distance = i32::try_from(distance).map_err(|_| wrong("it is too large"))?;
            image.bytes[link.field..link.field + WORD.size]
                .copy_from_slice(&distance.to_le_bytes());
        }
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(&image.bytes);
        Ok(start)
    }

    /// The bytes of a value; what lies elsewhere is written.
    pub(super) fn image(&mut self, id: TypeId, value: &Value) -> Result<Image> {
        let schema = self.schema;
        let layout = schema.layout(id);
        match schema.type_of(id) {
            SchemaType::Unit => null(value),
            SchemaType::Bool => match value {
                Value::Bool(value) => Ok(Image::of(&[u8::from(*value)])),
                other => Err(unexpected("true or false", other)),
            },
            SchemaType::Char => {
                let mut letters = text_of(value)?.chars();
                match (letters.next(), letters.next()) {
                    (Some(letter), None) => Ok(Image::of(&u32::from(letter).to_le_bytes())),
                    _ => Err(unexpected("a text of one character", value)),
                }
            }
            SchemaType::Text => self.text(text_of(value)?),
            SchemaType::Integer { bytes, signed } => integer(value, *bytes, *signed),
            SchemaType::Float { bytes: 4 } => Ok(Image::of(&(float(value)? as f32).to_le_bytes())),
            SchemaType::Float { .. } => Ok(Image::of(&float(value)?.to_le_bytes())),
            SchemaType::Array { item, len } => {
                let items = array_of(value, Some(*len))?;
                self.items(*item, items)
            }
            SchemaType::Tuple(ids) => {
                let items = array_of(value, Some(ids.len()))?;
                let items = ids.iter().copied().zip(items).collect::<Vec<_>>();
                self.fields(StructLayout::new(), layout, &items)
            }
            SchemaType::List(item) => {
                let items = array_of(value, None)?;
                let len = length(items.len())?;
                let content = self.items(*item, items)?;
                let target = self.place(content, schema.layout(*item).align)?;
                let mut list = Image::empty(layout);
                list.put(WORD.size, Image::of(&len.to_le_bytes()));
                list.link(0, target);
                Ok(list)
            }
            SchemaType::Set(item) => self.set(*item, value),
            SchemaType::Map(key, map_value) => self.map(*key, *map_value, value),
            SchemaType::Boxed(inner) => {
                let content = self.image(*inner, value)?;
                let target = self.place(content, schema.layout(*inner).align)?;
                let mut pointer = Image::empty(layout);
                pointer.link(0, target);
                Ok(pointer)
            }
            SchemaType::Optional(inner) => self.optional(*inner, layout, value),
            // A value with its end is only ever the whole.
            SchemaType::Expiring(_) => Err(wrong("a value with an end lies within another value")),
            SchemaType::Structure(fields) => {
                self.structure(StructLayout::new(), layout, fields, value)
            }
            SchemaType::Enumeration(variants) => self.enumeration(variants, layout, value),
        }
    }

    fn text(&mut self, text: &str) -> Result<Image> {
        let mut image = Image::empty(Layout {
            size: INLINE_TEXT_BYTES,
            align: 4,
        });
        if text.len() <= INLINE_TEXT_BYTES {
            image.bytes.fill(0xff);
            image.bytes[..text.len()].copy_from_slice(text.as_bytes());
            return Ok(image);
        }
        let len = length(text.len())?;
        if len >> 30 != 0 {
            return Err(wrong("a text is longer than a gigabyte"));
        }
        let target = self.place(Image::of(text.as_bytes()), 1)?;
        let marked = (len & 0x3f) | 0x80 | ((len & !0x3f) << 2);
        image.bytes[..WORD.size].copy_from_slice(&marked.to_le_bytes());
        image.links.push(Link {
            field: WORD.size,
            origin: 0,
            target,
        });
        Ok(image)
    }

    fn optional(&mut self, inner: TypeId, layout: Layout, value: &Value) -> Result<Image> {
        if value.is_null() {
            return Ok(Image::empty(layout));
        }
        let inner_value = if self.schema.is_nullable(inner) {
            let wrapped = value.as_object().filter(|object| object.len() == 1);
            let some = wrapped.and_then(|object| object.get("some"));
            some.ok_or_else(|| unexpected("null or {\"some\": ...}", value))?
        } else {
            value
        };
        let mut image = self.fields(tagged(2)?, layout, &[(inner, inner_value)])?;
        image.bytes[0] = 1;
        Ok(image)
    }

    fn enumeration(
        &mut self,
        variants: &[(String, Fields)],
        layout: Layout,
        value: &Value,
    ) -> Result<Image> {
        let (name, content) = match value {
            Value::String(name) => (name, &Value::Null),
            Value::Object(object) if object.len() == 1 => object
                .iter()
                .next()
                .ok_or_else(|| unexpected("a variant", value))?,
            other => {
                return Err(unexpected(
                    "the name of a variant, or an object under it",
                    other,
                ));
            }
        };
        let named = |(found, _): &(String, Fields)| found == name;
        let Some(tag) = variants.iter().position(named) else {
            let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            return Err(wrong(format!(
                "there is no variant \"{name}\" (there are {names})"
            )));
        };
        let (_, fields) = &variants[tag];
        let start = tagged(variants.len())?;
        let mut image = self
            .structure(start, layout, fields, content)
            .map_err(|error| error.context(name))?;
        let tag_bytes = tag_layout(variants.len()).size;
        image.bytes[..tag_bytes].copy_from_slice(&tag.to_le_bytes()[..tag_bytes]);
        Ok(image)
    }

    fn structure(
        &mut self,
        start: StructLayout,
        layout: Layout,
        fields: &Fields,
        value: &Value,
    ) -> Result<Image> {
        let items: Vec<(TypeId, &Value)> = match fields {
            Fields::Unit => return null(value).map(|_| Image::empty(layout)),
            Fields::Tuple(ids) if ids.len() == 1 => vec![(ids[0], value)],
            Fields::Tuple(ids) => {
                let items = array_of(value, Some(ids.len()))?;
                ids.iter().copied().zip(items).collect()
            }
            Fields::Named(named) => return self.named_fields(start, layout, named, value),
        };
        self.fields(start, layout, &items)
    }

    fn named_fields(
        &mut self,
        start: StructLayout,
        layout: Layout,
        named: &[(String, TypeId)],
        value: &Value,
    ) -> Result<Image> {
        let object = value
            .as_object()
            .ok_or_else(|| unexpected("an object", value))?;
        let known = |name: &&String| named.iter().any(|(field, _)| field == *name);
        if let Some(unknown) = object.keys().find(|name| !known(name)) {
            let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            return Err(wrong(format!(
                "there is no field \"{unknown}\" (there are {names})"
            )));
        }
        let ids: Vec<TypeId> = named.iter().map(|(_, id)| *id).collect();
        let offsets = self.offsets(start, &ids)?;
        let mut image = Image::empty(layout);
        for ((name, id), offset) in named.iter().zip(offsets) {
            let field = object
                .get(name)
                .ok_or_else(|| wrong(format!("the field \"{name}\" is missing")))?;
            let part = self.image(*id, field);
            image.put(offset, part.map_err(|error| error.context(name))?);
        }
        Ok(image)
    }

    fn fields(
        &mut self,
        start: StructLayout,
        layout: Layout,
        items: &[(TypeId, &Value)],
    ) -> Result<Image> {
        let ids: Vec<TypeId> = items.iter().map(|(id, _)| *id).collect();
        let offsets = self.offsets(start, &ids)?;
        let mut image = Image::empty(layout);
        for ((id, value), offset) in items.iter().zip(offsets) {
            image.put(offset, self.image(*id, value)?);
        }
        Ok(image)
    }

    /// Values of one type, one behind the other.
    fn items(&mut self, item: TypeId, values: &[Value]) -> Result<Image> {
        let size = self.schema.layout(item).size;
        let mut image = Image::of(&vec![0; size * values.len()]);
        for (index, value) in values.iter().enumerate() {
            let part = self.image(item, value);
            let part = part.map_err(|error| error.context(format!("[{index}]")))?;
            image.put(index * size, part);
        }
        Ok(image)
    }

    fn offsets(&self, start: StructLayout, ids: &[TypeId]) -> Result<Vec<usize>> {
        let layouts: Vec<Layout> = ids.iter().map(|id| self.schema.layout(*id)).collect();
        offsets(start, &layouts)
    }
}

/// A number of things, as archives have it.
pub(super) fn length(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| wrong("it is too large"))
}

/// The items of an array, of which there must be `len` if that is said.
pub(super) fn array_of(value: &Value, len: Option<usize>) -> Result<&[Value]> {
    match (value, len) {
        (Value::Array(items), None) => Ok(items),
        (Value::Array(items), Some(len)) if items.len() == len => Ok(items),
        (other, Some(len)) => Err(unexpected(&format!("an array of {len}"), other)),
        (other, None) => Err(unexpected("an array", other)),
    }
}

/// What was needed, and what was there.
pub(super) fn unexpected(needed: &str, value: &Value) -> Error {
    const SHOWN_MAX: usize = 60;
    let text = value.to_string();
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let dots = if shown.len() < text.len() { "..." } else { "" };
    wrong(format!("{needed} is needed, not {shown}{dots}"))
}

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, message)
}

pub(super) fn text_of(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| unexpected("a text", value))
}

/// A number, or one of the texts that stand for what JSON has no number for.
pub(super) fn float(value: &Value) -> Result<f64> {
    let text = match value {
        Value::Number(number) => {
            return number.as_f64().ok_or_else(|| unexpected("a number", value));
        }
        Value::String(text) => text.as_str(),
        _ => "",
    };
    match text {
        "NaN" => Ok(f64::NAN),
        "inf" => Ok(f64::INFINITY),
        "-inf" => Ok(f64::NEG_INFINITY),
        _ => Err(unexpected("a number, or NaN, inf or -inf as a text", value)),
    }
}

fn null(value: &Value) -> Result<Image> {
    match value {
        Value::Null => Ok(Image::of(&[])),
        other => Err(unexpected("null", other)),
    }
}

fn integer(value: &Value, bytes: usize, signed: bool) -> Result<Image> {
    let needed = || {
        let sign = if signed { "i" } else { "u" };
        unexpected(&format!("an integer that fits {sign}{}", 8 * bytes), value)
    };
    let digits = match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
        Value::String(digits) => digits.clone(),
        _ => return Err(needed()),
    };
    // The bytes that are cut off must say nothing but the sign.
    let (whole, fits) = if signed {
        let number: i128 = digits.parse().map_err(|_| needed())?;
        let shift = 128 - 8 * bytes as u32;
        let fits = (number << shift) >> shift == number;
        (number.to_le_bytes(), fits)
    } else {
        let number: u128 = digits.parse().map_err(|_| needed())?;
        let fits = bytes == 16 || number >> (8 * bytes) == 0;
        (number.to_le_bytes(), fits)
    };
    if fits {
        Ok(Image::of(&whole[..bytes]))
    } else {
        Err(needed())
    }
}
