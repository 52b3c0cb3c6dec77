//! Aggregates whose state is a text: minimum, maximum, first and last over a string column.
//!
//! While a batch is worked off no text is copied: what is kept is where the text stands. Only the text that a key has
//! at the end of the batch is copied, into state, and only if it has changed.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, StringArray};

use super::function::Function;
use super::groups::Groups;

/// The texts of one key, in the order of the aggregates that keep them.
pub(super) type Texts = Vec<Option<String>>;

/// Where the current text of a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextSource {
    /// There was no text yet.
    Null,
    /// It is the one that was in state before the batch.
    Stored,
    /// It is the one of this row of the batch.
    Row(u32),
}

/// Takes the rows `rows` of `column` into the aggregate that has `stored` in state, in order, and says where its text
/// stands after the last of them.
///
/// The source after each row is put into `output` at that row, if there is an output.
pub(super) fn advance(
    function: Function,
    column: &StringArray,
    rows: &[u32],
    stored: Option<&str>,
    mut output: Option<&mut [TextSource]>,
) -> TextSource {
    let mut current = stored;
    let mut source = match stored {
        Some(_) => TextSource::Stored,
        None => TextSource::Null,
    };
    for row in rows {
        let index = *row as usize;
        if column.is_valid(index) {
            let text = column.value(index);
            if current.is_none_or(|current| replaces(function, text, current)) {
                current = Some(text);
                source = TextSource::Row(*row);
            }
        }
        if let Some(output) = &mut output {
            output[index] = source;
        }
    }
    source
}

/// The output column whose texts stand at `sources`, one a row; `stored` holds the texts of each group's key, of which
/// this column's is the one numbered `text`.
pub(super) fn collect(
    sources: &[TextSource],
    column: &StringArray,
    groups: &Groups,
    stored: &[Texts],
    text: usize,
) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(sources.len(), 0);
    for (source, group) in sources.iter().zip(groups.group_of_row()) {
        builder.append_option(match source {
            TextSource::Null => None,
            TextSource::Stored => stored[*group as usize][text].as_deref(),
            TextSource::Row(row) => Some(column.value(*row as usize)),
        });
    }
    Arc::new(builder.finish())
}

fn replaces(function: Function, text: &str, current: &str) -> bool {
    match function {
        Function::Min => text < current,
        Function::Max => text > current,
        Function::Last => true,
        Function::First | Function::Count | Function::Sum | Function::Avg => false,
    }
}
