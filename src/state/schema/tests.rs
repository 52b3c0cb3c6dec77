//! What the schemas of types say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rkyv::{Archive, Deserialize, Serialize};

use super::text::schema_text;
use super::{SchemaText, StateSchema};

crate::state_schema! {
    #[derive(Archive, Serialize, Deserialize)]
    struct Trade {
        price: f64,
        size: u32,
    }

    #[derive(Archive, Serialize, Deserialize)]
    struct Euros(i64);

    #[derive(Archive, Serialize, Deserialize)]
    struct Pair<A, B>(A, Option<B>);

    #[derive(Archive, Serialize, Deserialize)]
    struct Nothing;

    #[derive(Archive, Serialize, Deserialize)]
    enum Order {
        Market,
        /// Attributes that do not touch the archive are passed on.
        Limit {
            /// In euros.
            price: f64,
        },
        Basket(Vec<Trade>, u8),
    }

    #[derive(Archive, Serialize, Deserialize)]
    enum Either<A, B> {
        Left(A),
        Right(B),
    }
}

/// Types that hold themselves, and each other.
#[expect(dead_code, reason = "only their schemas are read")]
mod recursive {
    crate::state_schema! {
        pub(super) struct Tree {
            children: Vec<Tree>,
            label: Label,
        }

        struct Label {
            tree: Option<Box<Tree>>,
            next: Option<Box<Label>>,
        }
    }
}

#[track_caller]
fn check<T: StateSchema>(expected: &str) {
    assert_eq!(SchemaText::of::<T>(), expected);
}

#[test]
fn standard_types_have_the_words_that_people_use() {
    check::<()>("()");
    check::<u64>("u64");
    check::<char>("char");
    check::<String>("string");
    check::<[i64; 4]>("[i64; 4]");
    check::<(u64,)>("(u64)");
    check::<(u64, String)>("(u64, string)");
    check::<(u8, u8, u8, u8, u8, u8, u8, bool)>("(u8, u8, u8, u8, u8, u8, u8, bool)");
    check::<Vec<Option<i64>>>("list<option<i64>>");
    check::<BTreeMap<u64, BTreeSet<String>>>("map<u64, set<string>>");
    check::<VecDeque<Box<f32>>>("deque<box<f32>>");
}

#[test]
fn definitions_are_written_out_without_their_names() {
    check::<Trade>("struct { price: f64, size: u32 }");
    check::<Euros>("struct (i64)");
    check::<Nothing>("struct");
    check::<Pair<Euros, u8>>("struct (struct (i64), option<u8>)");
    check::<Order>(
        "enum { Market, Limit { price: f64 }, Basket (list<struct { price: f64, size: u32 }>, u8) }",
    );
    check::<Either<Trade, Trade>>(
        "enum { Left (struct { price: f64, size: u32 }), Right (struct { price: f64, size: u32 }) }",
    );
}

#[test]
fn a_type_within_itself_is_written_once() {
    check::<recursive::Tree>(
        "struct { children: list<^1>, label: struct { tree: option<box<^2>>, next: option<box<^1>> } }",
    );
}

#[test]
fn a_descriptor_also_says_the_size_of_the_archive() {
    assert_eq!(
        schema_text::<Trade>(),
        "struct { price: f64, size: u32 } (16 bytes, alignment 8)"
    );
    assert_eq!(schema_text::<String>(), "string (8 bytes, alignment 4)");
}
