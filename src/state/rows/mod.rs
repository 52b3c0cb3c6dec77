//! Rows of states without their types: what a descriptor says in words is enough to read the bytes of a snapshot, and to
//! write them.
//!
//! A [`StateCodec`] is made of a [`StateDescriptor`](super::StateDescriptor). It turns the stored bytes of keys and values
//! into [`RowValue`]s, which print as JSON, and JSON back into the very bytes that the engine would store. A
//! [`PieceReader`] takes a base or a delta apart as its bytes arrive; [`delta_of`] makes one. Nothing here trusts what it reads: a schema that lies
//! about the bytes, or bytes that are damaged, give an error.
//!
//! A schema whose words are not Floodmark's own, or whose size is not that of its parts, says nothing about the bytes.
//! They are shown as they are, as `{"hex": "00ff"}`.
//!
//! | in the schema | as JSON |
//! |---|---|
//! | integers up to 64 bits | a number |
//! | `u128`, `i128` | a text of digits |
//! | `f32`, `f64` | a number; not finite ones as the text `NaN`, `inf` or `-inf` |
//! | `bool`, `char`, `string` | `true` or `false`, a text, a text |
//! | `()`, a struct without fields | `null` |
//! | a tuple, an array, a `list`, a `deque`, a `set` | an array |
//! | `map` | an object when its keys are strings, otherwise an array of pairs |
//! | a struct with names; without names | an object; an array, or of one field only that field |
//! | an enum | the variant's name, or an object with its fields under the variant's name |
//! | `option` | the value or `null`; `{"some": …}` around a value that can be `null` itself |
//! | `box` | what is in it |

mod btree;
mod btree_encode;
mod cell;
mod codec;
mod decode;
mod encode;
mod layout;
mod operator_state;
mod piece_reader;
mod piece_writer;
mod row_value;
mod schema_parser;
mod value_schema;

#[cfg(test)]
mod tests;

pub use cell::Cell;
pub use codec::{DecodedValue, StateCodec, ValueCodec};
pub use operator_state::{OperatorStateCodec, OperatorStateItem, StoredItem};
pub use piece_reader::{PieceCounts, PieceReader, StoredRecord};
pub use piece_writer::{DeltaRecords, delta_of};
pub use row_value::RowValue;
