//! Tests of operator state, by theme.

mod claims;
mod damage;
mod model;
mod restore;
mod sealing;
mod support;
