//! What becomes of the rows of one state.

use super::keyed_edit::KeyedEdit;
use super::operator_edit::OperatorStateEdit;

/// What becomes of the rows of one state.
#[derive(Clone, Debug)]
pub enum StateEdit {
    /// Of a keyed state.
    Keyed(KeyedEdit),
    /// Of an operator state.
    Operator(OperatorStateEdit),
}
