//! How the settings are read, and what is refused.

use super::harness::config;
use crate::error::ErrorKind;
use crate::operator::aggregate::{AggregateConfig, Emit};
use crate::operator::test_support::random_schema;

#[track_caller]
fn check_error(settings: &str, message: &str) {
    let error = config(settings)
        .output_schema(&random_schema())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.to_string(), message);
}

#[test]
fn the_output_has_the_keys_and_then_the_aggregates_in_their_order() {
    let config = config(
        "key = ['t', 's']\nmap_key = 'b'\n[aggregates]\nz = 'count()'\ny = 'avg( i )'\nx = 'max(s)'\na = 'sum(i)'",
    );
    assert_eq!(config.emit, Emit::Update);
    let schema = config.output_schema(&random_schema()).unwrap();
    let fields: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    assert_eq!(
        fields,
        [
            "t Timestamp(ms, \"UTC\")",
            "s Utf8",
            "b Boolean",
            "z Int64",
            "y Float64",
            "x Utf8",
            "a Int64"
        ]
    );
}

#[test]
fn keys_that_do_not_fit_the_input_are_refused() {
    check_error(
        "key = []\naggregates = { n = 'count()' }",
        "key: at least one column is needed",
    );
    check_error(
        "key = ['s', 'q']\naggregates = { n = 'count()' }",
        "key: unknown column \"q\" (the input has b, i, f, s, t)",
    );
    check_error(
        "key = ['s', 's']\naggregates = { n = 'count()' }",
        "key: column \"s\" is named twice",
    );
    check_error(
        "key = ['s']\nmap_key = 's'\naggregates = { n = 'count()' }",
        "map_key: column \"s\" is named twice",
    );
    check_error(
        "key = ['s']\nmap_key = 'q'\naggregates = { n = 'count()' }",
        "map_key: unknown column \"q\" (the input has b, i, f, s, t)",
    );
}

#[test]
fn aggregates_that_do_not_fit_the_input_are_refused() {
    let check = |name: &str, call: &str, message: &str| {
        check_error(
            &format!("key = ['s']\naggregates = {{ {name} = '{call}' }}"),
            message,
        );
    };
    check_error(
        "key = ['s']\naggregates = {}",
        "aggregates: at least one is needed",
    );
    check(
        "n",
        "count",
        "aggregates.n: \"count\" is not an aggregate such as \"count()\" or \"sum(x)\"",
    );
    check(
        "n",
        "sum()",
        "aggregates.n: sum needs a column, as in \"sum(x)\"",
    );
    check(
        "n",
        "summ(i)",
        "aggregates.n: unknown function \"summ\"; did you mean \"sum\"? \
         (there are count, sum, min, max, avg, first, last)",
    );
    check(
        "n",
        "sum(q)",
        "aggregates.n: unknown column \"q\" (the input has b, i, f, s, t)",
    );
    check(
        "n",
        "avg(s)",
        "aggregates.n: avg takes int64, float64, but column \"s\" is string",
    );
    check(
        "n",
        "min(b)",
        "aggregates.n: min takes int64, float64, string, timestamp, but column \"b\" is boolean",
    );
    check(
        "s",
        "count()",
        "aggregates.s: the key has a column of this name, choose another",
    );
}

#[test]
fn a_time_to_live_is_a_duration_of_a_millisecond_at_least() {
    check_error(
        "key = ['s']\nttl = '999us'\naggregates = { n = 'count()' }",
        "ttl: at least a millisecond is needed",
    );
    let config = config("key = ['s']\nttl = '1 h'\naggregates = { n = 'count()' }");
    assert_eq!(config.ttl.unwrap().0.as_secs(), 3600);
    config.output_schema(&random_schema()).unwrap();
}

#[test]
fn an_unknown_setting_is_refused() {
    let error =
        toml::from_str::<AggregateConfig>("key = ['s']\nkeys = 1\naggregates = {}").unwrap_err();
    assert!(
        error.to_string().contains("unknown field `keys`"),
        "{error}"
    );
}
