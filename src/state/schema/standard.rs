//! The schemas of types that are not defined in a job.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::text::{SchemaText, StateSchema};

/// Types whose schema is one word.
macro_rules! words {
    ($($type:ty => $word:literal,)*) => {
        $(impl StateSchema for $type {
            fn describe(schema: &mut SchemaText) {
                schema.word($word);
            }
        })*
    };
}

words! {
    u8 => "u8",
    u16 => "u16",
    u32 => "u32",
    u64 => "u64",
    u128 => "u128",
    usize => "usize",
    i8 => "i8",
    i16 => "i16",
    i32 => "i32",
    i64 => "i64",
    i128 => "i128",
    isize => "isize",
    f32 => "f32",
    f64 => "f64",
    bool => "bool",
    char => "char",
    () => "()",
    String => "string",
}

/// Containers of one type or of two.
macro_rules! containers {
    ($($container:ident<$($parameter:ident),+> => $word:literal,)*) => {
        $(impl<$($parameter: StateSchema),+> StateSchema for $container<$($parameter),+> {
            fn describe(schema: &mut SchemaText) {
                schema.generic($word, &[$($parameter::describe),+]);
            }
        })*
    };
}

containers! {
    Box<T> => "box",
    Option<T> => "option",
    Vec<T> => "list",
    VecDeque<T> => "deque",
    BTreeSet<T> => "set",
    BTreeMap<K, V> => "map",
}

impl<T: StateSchema, const N: usize> StateSchema for [T; N] {
    fn describe(schema: &mut SchemaText) {
        schema.word("[");
        T::describe(schema);
        schema.word(&format!("; {N}]"));
    }
}

/// Tuples of each length.
macro_rules! tuples {
    ($(($($item:ident),+))*) => {
        $(impl<$($item: StateSchema),+> StateSchema for ($($item,)+) {
            fn describe(schema: &mut SchemaText) {
                schema.tuple(&[$($item::describe),+]);
            }
        })*
    };
}

tuples! {
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
    (A, B, C, D, E, F, G, H)
}
