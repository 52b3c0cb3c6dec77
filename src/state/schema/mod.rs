//! Schemas: the readable text that says how a type's archive is laid out, so that a restore never misreads it.

mod definition;
mod standard;
mod text;

pub use text::{SchemaFields, SchemaText, StateSchema};

pub(super) use text::schema_text;

#[cfg(test)]
mod tests;
