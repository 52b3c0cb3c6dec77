//! Rows against what rkyv itself writes and reads, and against bytes that are not what the schema says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rkyv::{Archive, Deserialize, Serialize};
use serde_json::{Value, json};

use super::{StateCodec, ValueCodec};
use crate::error::ErrorKind;
use crate::state::archive::{StateValue, append};
use crate::state::schema::schema_text;
use crate::state::{RecordFormat, StateDescriptor, StateKind};

crate::state_schema! {
    #[derive(Clone, Archive, Serialize, Deserialize)]
    struct Trade {
        price: f64,
        size: u32,
        note: String,
    }

    #[derive(Archive, Serialize, Deserialize)]
    struct Euros(i64);

    #[derive(Archive, Serialize, Deserialize)]
    struct Nothing;

    #[derive(Archive, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    #[rkyv(derive(PartialEq, Eq, PartialOrd, Ord))]
    enum Side {
        Sell,
        Buy(u16),
        Limit { cents: i64, venue: String },
    }

    #[derive(Archive, Serialize, Deserialize)]
    struct Pair(u8, Option<u64>);
}

/// A type that writes its schema in words of its own.
#[derive(Archive, Serialize, Deserialize)]
struct Decimal([u8; 4]);

impl crate::state::StateSchema for Decimal {
    fn describe(schema: &mut crate::state::SchemaText) {
        schema.word("decimal, 4 bytes of text");
    }
}

fn archive<T: StateValue>(value: &T) -> Vec<u8> {
    let mut buffer = rkyv::util::AlignedVec::new();
    append(value, &mut buffer).unwrap();
    buffer.to_vec()
}

/// The archive of `value` is shown as `expected`, and `expected` makes the very same archive.
#[track_caller]
fn check<T: StateValue>(value: &T, expected: Value) {
    let codec = ValueCodec::new(&schema_text::<T>());
    assert!(!codec.is_opaque(), "{}", codec.schema());
    let bytes = archive(value);
    let shown = codec.decode(&bytes).unwrap().to_json();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, expected, "{}", codec.schema());
    assert_eq!(
        codec.encode(&expected).unwrap(),
        bytes,
        "{}",
        codec.schema()
    );
}

fn trade(note: &str) -> Trade {
    Trade {
        price: 1.25,
        size: 7,
        note: note.to_owned(),
    }
}

#[test]
fn plain_values_go_to_json_and_back() {
    check(&(), json!(null));
    check(&true, json!(true));
    check(&'ß', json!("ß"));
    check(&u8::MAX, json!(255));
    check(&i16::MIN, json!(-32_768));
    check(&u64::MAX, json!(18_446_744_073_709_551_615_u64));
    check(&i64::MIN, json!(i64::MIN));
    check(&usize::MIN, json!(0));
    check(&-5_isize, json!(-5));
    check(&u128::MAX, json!(u128::MAX.to_string()));
    check(&i128::MIN, json!(i128::MIN.to_string()));
    check(&0.1_f32, json!(0.1));
    check(&f64::NEG_INFINITY, json!("-inf"));
    for text in ["", "short", "8 bytes.", "longer than what lies inline"] {
        check(&text.to_owned(), json!(text));
    }
    check(&"ü".repeat(100), json!("ü".repeat(100)));
}

#[test]
fn containers_go_to_json_and_back() {
    check(&[1_u16, 2, 3], json!([1, 2, 3]));
    check(
        &(7_u8, "seven".to_owned(), 7.5_f64),
        json!([7, "seven", 7.5]),
    );
    check(&(1_u32,), json!([1]));
    check(&Vec::<u64>::new(), json!([]));
    check(&vec![3_u128, 4], json!(["3", "4"]));
    check(&VecDeque::from([1_i32, -1]), json!([1, -1]));
    check(
        &vec!["a".to_owned(), "b".repeat(20)],
        json!(["a", "b".repeat(20)]),
    );
    check(&Some(9_u64), json!(9));
    check(&None::<String>, json!(null));
    check(&Some(Some(9_u64)), json!({"some": 9}));
    check(&Some(None::<u64>), json!({"some": null}));
    check(&Some(()), json!({"some": null}));
    check(&Box::new(vec![Some(1_u8), None]), json!([1, null]));
    check(&Some(Box::new(5_u64)), json!(5));
}

#[test]
fn definitions_go_to_json_and_back() {
    check(&trade("n"), json!({"price": 1.25, "size": 7, "note": "n"}));
    check(&Euros(-3), json!(-3));
    check(&Nothing, json!(null));
    check(&Some(Nothing), json!({"some": null}));
    check(&Pair(1, Some(2)), json!([1, 2]));
    check(&Side::Sell, json!("Sell"));
    check(&Side::Buy(3), json!({"Buy": 3}));
    let limit = Side::Limit {
        cents: 5,
        venue: "a long name of a venue".to_owned(),
    };
    let shown = json!({"Limit": {"cents": 5, "venue": "a long name of a venue"}});
    check(&vec![limit, Side::Sell], json!([shown, "Sell"]));
}

#[test]
fn maps_and_sets_of_every_size_have_the_nodes_that_rkyv_makes() {
    for len in (0..60).chain([215, 216, 217, 1_295, 1_296, 2_000]) {
        let set: BTreeSet<u32> = (0..len).map(|index| index * 3).collect();
        check(&set, json!(set));
        let map: BTreeMap<u64, String> = (0..u64::from(len))
            .map(|index| (index, format!("value {index}")))
            .collect();
        let pairs: Vec<(u64, &String)> = map.iter().map(|(key, value)| (*key, value)).collect();
        check(&map, json!(pairs));
        let named: BTreeMap<String, i8> = (0..len).map(|index| (format!("{index}"), 1)).collect();
        check(&named, json!(named));
    }
}

#[test]
fn entries_of_maps_are_put_into_the_order_of_their_keys() {
    let codec = ValueCodec::new(&schema_text::<BTreeMap<Side, i64>>());
    let limit = |cents: i64| Side::Limit {
        cents,
        venue: "x".to_owned(),
    };
    let map: BTreeMap<Side, i64> = BTreeMap::from([
        (Side::Sell, 1),
        (Side::Buy(2), 2),
        (limit(3), 3),
        (limit(20), 4),
    ]);
    let shuffled = json!([
        [{"Limit": {"cents": 20, "venue": "x"}}, 4],
        [{"Buy": 2}, 2],
        ["Sell", 1],
        [{"Limit": {"cents": 3, "venue": "x"}}, 3],
    ]);
    assert_eq!(codec.encode(&shuffled).unwrap(), archive(&map));
    let error = codec
        .encode(&json!([["Sell", 1], ["Sell", 2]]))
        .unwrap_err();
    assert_eq!(error.to_string(), "the key \"Sell\" is there twice");
    let numbers = ValueCodec::new(&schema_text::<BTreeSet<i16>>());
    let set = BTreeSet::from([-2_i16, 10, 9]);
    assert_eq!(numbers.encode(&json!([10, 9, -2])).unwrap(), archive(&set));
}

#[test]
fn a_schema_in_words_of_its_own_is_shown_as_bytes() {
    let codec = ValueCodec::new(&schema_text::<Decimal>());
    assert!(codec.is_opaque());
    let bytes = archive(&Decimal(*b"1.50"));
    let shown = codec.decode(&bytes).unwrap();
    assert_eq!(shown.to_json(), r#"{"hex":"312e3530"}"#);
    assert_eq!(codec.encode(&json!({"hex": "312e3530"})).unwrap(), bytes);
    for wrong in [
        json!({"hex": "312"}),
        json!({"hex": "é"}),
        json!("312e3530"),
        json!({"hex": "31"}),
    ] {
        assert_eq!(
            codec.encode(&wrong).unwrap_err().kind(),
            ErrorKind::Data,
            "{wrong}"
        );
    }
}

#[test]
fn a_schema_whose_size_is_not_that_of_its_parts_is_not_believed() {
    for text in [
        "u64 (4 bytes, alignment 4)",
        "u64",
        "struct { a: u64 } (16 bytes, alignment 8)",
        "list<u64>> (8 bytes, alignment 4)",
        "map<u64> (8 bytes, alignment 4)",
        "^1 (8 bytes, alignment 4)",
        "struct { a: ^1 } (8 bytes, alignment 4)",
        "[u64; 99999999999999999999] (8 bytes, alignment 8)",
        "[[u64; 4294967295]; 4294967295] (8 bytes, alignment 8)",
        "enum {  } (0 bytes, alignment 1)",
        "",
    ] {
        assert!(ValueCodec::new(text).is_opaque(), "{text}");
    }
    let deep = format!(
        "{}u8{} (4 bytes, alignment 4)",
        "box<".repeat(5_000),
        ">".repeat(5_000)
    );
    assert!(ValueCodec::new(&deep).is_opaque());
}

#[test]
fn recursive_types_are_read_as_deep_as_they_go() {
    let text = "struct { children: list<^1>, label: u32 } (12 bytes, alignment 4)";
    let codec = ValueCodec::new(text);
    assert!(!codec.is_opaque());
    let tree = json!({"label": 1, "children": [
        {"label": 2, "children": []},
        {"label": 3, "children": [{"label": 4, "children": []}]},
    ]});
    let bytes = codec.encode(&tree).unwrap();
    let shown: Value = serde_json::from_str(&codec.decode(&bytes).unwrap().to_json()).unwrap();
    assert_eq!(shown, tree);
    // A list that contains itself: the pointer leads back to the root.
    let mut endless = vec![0; 12];
    endless[4] = 1;
    assert_eq!(
        codec.decode(&endless).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn what_does_not_fit_the_schema_is_refused_with_its_place() {
    let codec = ValueCodec::new(&schema_text::<Vec<Trade>>());
    let check = |value: Value, expected: &str| {
        let error = codec.encode(&value).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Data, expected)
        );
    };
    check(json!(1), "an array is needed, not 1");
    check(
        json!([{"price": "x", "size": 1, "note": ""}]),
        "[0]: price: a number, or NaN, inf or -inf as a text is needed, not \"x\"",
    );
    check(
        json!([{"price": 1, "size": 4_294_967_296_u64, "note": ""}]),
        "[0]: size: an integer that fits u32 is needed, not 4294967296",
    );
    check(
        json!([{"price": 1, "size": 1}]),
        "[0]: the field \"note\" is missing",
    );
    check(
        json!([{"price": 1, "size": 1, "note": "", "side": 1}]),
        "[0]: there is no field \"side\" (there are price, size, note)",
    );
    let number = ValueCodec::new(&schema_text::<i8>());
    for refused in [json!(128), json!(-129), json!(1.5), json!("x"), json!(null)] {
        assert!(number.encode(&refused).is_err(), "{refused}");
    }
    assert_eq!(number.encode(&json!(-128)).unwrap(), [0x80]);
}

fn descriptor<K: StateValue, M: StateValue, V: StateValue>(
    record_format: RecordFormat,
) -> StateDescriptor {
    StateDescriptor {
        kind: StateKind::Entry,
        version: 1,
        key_schema: schema_text::<K>(),
        map_key_schema: Some(schema_text::<M>()),
        value_schema: schema_text::<V>(),
        time_to_live: false,
        record_format,
    }
}

#[test]
fn the_keys_of_entries_are_taken_apart_and_put_together() {
    let fixed = StateCodec::new(&descriptor::<u64, u32, u64>(RecordFormat::Fixed)).unwrap();
    let variable =
        StateCodec::new(&descriptor::<String, u32, u64>(RecordFormat::Variable)).unwrap();
    let short = archive(&"key".to_owned());
    for (codec, key) in [(fixed, 7_u64.to_le_bytes().to_vec()), (variable, short)] {
        let map_key = 9_u32.to_le_bytes();
        let stored = codec.join_key(&key, Some(&map_key));
        assert_eq!(
            codec.split_key(&stored).unwrap(),
            (key.as_slice(), Some(map_key.as_slice()))
        );
        assert!(codec.split_key(&stored[..3]).is_err());
    }
}

/// Whatever happens to the bytes, they are read as something or refused; and so is whatever happens to the schema.
#[test]
fn mutated_bytes_and_schemas_are_errors_and_never_panics() {
    let long = "a text that does not lie inline".to_owned();
    let map: BTreeMap<u64, Vec<String>> = (0..50).map(|key| (key, vec![long.clone()])).collect();
    let side = Side::Limit {
        cents: 1,
        venue: long.clone(),
    };
    let samples = [
        (schema_text::<BTreeMap<u64, Vec<String>>>(), archive(&map)),
        (schema_text::<Vec<Trade>>(), archive(&vec![trade(&long); 5])),
        (
            schema_text::<Option<Box<Side>>>(),
            archive(&Some(Box::new(side))),
        ),
        (
            schema_text::<BTreeSet<(u8, char)>>(),
            archive(&BTreeSet::from([(1_u8, 'a'), (2, 'b')])),
        ),
        (schema_text::<Vec<()>>(), archive(&vec![(); 9])),
    ];
    let mut read = 0_u32;
    let mut refused = 0_u32;
    for seed in 0..20_000_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (text, bytes) = &samples[random.usize(..samples.len())];
        let mut text = text.clone();
        let mut bytes = bytes.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] ^= 1 << random.u8(..8),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let at = random.usize(..text.len());
                    let letter = *random.choice(b"ui8<>(),{}0123456789^;[] ").unwrap();
                    text.replace_range(at..=at, std::str::from_utf8(&[letter]).unwrap());
                }
            }
        }
        match ValueCodec::new(&text).decode(&bytes) {
            Ok(_) => read += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "seed {seed}: {error}");
                refused += 1;
            }
        }
    }
    assert!(
        read > 1_000 && refused > 1_000,
        "{read} were read, {refused} refused"
    );
}
