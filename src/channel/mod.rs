//! Links between subtasks: their elements, their bounds, and the alignment of barriers over several of them.

mod element;

pub use element::Element;
