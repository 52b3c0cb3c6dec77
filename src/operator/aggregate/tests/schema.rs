//! Restores of state that was kept for other keys or aggregates.

use arrow_schema::{Field, Schema};
use serde_json::json;

use super::harness::{config, restored, snapshot};
use crate::error::ErrorKind;
use crate::model::ColumnType;
use crate::operator::aggregate::AggregateOperator;
use crate::operator::test_support::{open, random_schema};

#[test]
fn state_of_another_schema_is_refused_with_what_differs() {
    let schema = Schema::new(
        ["a", "b", "x", "y"]
            .map(|name| {
                let column_type = match name {
                    "a" | "b" => ColumnType::String,
                    _ => ColumnType::Int64,
                };
                Field::new(name, column_type.to_arrow(), true)
            })
            .to_vec(),
    );
    let settings = "key = ['a']\nmap_key = 'b'\n[aggregates]\nmost = 'max(x)'\nrows = 'count()'";
    let operator = |settings: &str| AggregateOperator::new(&config(settings), &schema).unwrap();
    let item = snapshot(&mut operator(settings));
    let check = |from: &str, to: &str, expected: Result<(), &str>| {
        let changed = settings.replace(from, to);
        assert_eq!(changed == settings, from == to, "{from}");
        let opened = open(&mut operator(&changed), Some(&restored(vec![item.clone()])));
        match expected {
            Ok(()) => opened.unwrap(),
            Err(difference) => {
                let error = opened.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Configuration);
                let way_out = "bring the former keys and aggregates back, or start with --fresh";
                assert_eq!(error.to_string(), format!("{difference}; {way_out}"));
            }
        }
    };
    let differs = |setting: &str, stored: &str, asked: &str| {
        format!("{setting}: the checkpoint holds the state of {stored}, the job asks for {asked}")
    };
    check("rows", "rows", Ok(()));
    // The name of a result is not in the state.
    check("rows", "flights", Ok(()));
    // Columns of one type change places.
    let both = [
        differs("key", "a string", "b string"),
        differs("map_key", "b string", "a string"),
    ];
    check(
        "key = ['a']\nmap_key = 'b'",
        "key = ['b']\nmap_key = 'a'",
        Err(&both.join("; ")),
    );
    let aggregates = |asked| differs("aggregates", "max(x int64), count()", asked);
    check(
        "max(x)",
        "max(y)",
        Err(&aggregates("max(y int64), count()")),
    );
    check(
        "max(x)",
        "min(x)",
        Err(&aggregates("min(x int64), count()")),
    );
    check(
        "count()",
        "count(a)",
        Err(&aggregates("max(x int64), count(a string)")),
    );
    check(
        "['a']",
        "['x']",
        Err(&differs("key", "a string", "x int64")),
    );
    check(
        "['a']",
        "['a', 'x']",
        Err(&differs("key", "a string", "a string, x int64")),
    );
    check(
        "map_key = 'b'",
        "",
        Err(&differs("map_key", "b string", "none")),
    );
}

#[test]
fn a_checkpoint_that_does_not_say_what_its_state_holds_is_refused() {
    let config = config("key = ['s']\n[aggregates]\nrows = 'count()'");
    let mut operator = AggregateOperator::new(&config, &random_schema()).unwrap();
    let mut item = snapshot(&mut operator);
    item["schema"]["key"] = json!(7);
    let error = open(&mut operator, Some(&restored(vec![item]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
