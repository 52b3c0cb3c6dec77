use super::*;
use crate::connectors::kafka::source::model_broker::{ModelBroker, partition};

/// A partition with the offsets 10 to 14, of the times 100 to 104.
fn broker() -> ModelBroker {
    let broker = ModelBroker::default();
    broker.create("in", 1);
    let log = partition("in", 0);
    (0..15).for_each(|number| broker.append_at(&log, 90 + number, "x"));
    broker.expire(&log, 10);
    broker
}

fn rules(text: &str) -> OffsetRules {
    let config = format!(
        "brokers = 'a:1'\ntopics = ['in']\ngroup_id = 'g'\nformat = 'raw'\ncolumns = {{ s = 'string' }}\n{text}"
    );
    OffsetRules::of(&toml::from_str(&config).unwrap())
}

fn resolve(broker: &ModelBroker, text: &str, start: Start) -> Result<Position, String> {
    let resolved = rules(text).resolve(&partition("in", 0), start, &mut broker.client());
    resolved.map_err(|failure| match failure {
        ClientFailure::Final(error) => error.to_string(),
        ClientFailure::Passing(reason) => reason,
    })
}

fn check(text: &str, offset: i64, end: Option<i64>) {
    let position = resolve(&broker(), text, Start::Initial).unwrap();
    assert_eq!((position.offset, position.end), (offset, end), "{text}");
}

#[test]
fn each_startup_mode_has_its_offset() {
    check("", 10, None);
    check("startup_mode = 'earliest-offset'", 10, None);
    check("startup_mode = 'latest-offset'", 15, None);
    check(
        "startup_mode = 'timestamp'\nstartup_timestamp = 103",
        13,
        None,
    );
    check(
        "startup_mode = 'timestamp'\nstartup_timestamp = 105",
        15,
        None,
    );
    let given = "startup_mode = 'specific-offsets'\nstartup_offsets";
    check(&format!("{given} = {{ in = {{ 0 = 12 }} }}"), 12, None);
    check(&format!("{given} = {{ in = {{ 1 = 12 }} }}"), 10, None);
}

#[test]
fn a_group_without_an_offset_starts_where_the_reset_says_or_not_at_all() {
    let mode = "startup_mode = 'group-offsets'\n";
    check(&format!("{mode}auto_offset_reset = 'earliest'"), 10, None);
    check(&format!("{mode}auto_offset_reset = 'latest'"), 15, None);
    let error = resolve(&broker(), mode, Start::Initial).unwrap_err();
    assert!(
        error.starts_with("startup_mode: the group has no offset for in/0"),
        "{error}"
    );
    let broker = broker();
    broker.set_committed(&partition("in", 0), 14);
    assert_eq!(resolve(&broker, mode, Start::Initial).unwrap().offset, 14);
}

#[test]
fn a_bounded_source_never_ends_behind_what_is_there() {
    check("bounded_mode = 'latest-offset'", 10, Some(15));
    check(
        "bounded_mode = 'timestamp'\nbounded_timestamp = 102",
        10,
        Some(12),
    );
    check(
        "bounded_mode = 'timestamp'\nbounded_timestamp = 999",
        10,
        Some(15),
    );
    let given = "bounded_mode = 'specific-offsets'\nbounded_offsets";
    check(&format!("{given} = {{ in = {{ 0 = 11 }} }}"), 10, Some(11));
    check(&format!("{given} = {{ in = {{ 0 = 99 }} }}"), 10, Some(15));
    let text = format!("{given} = {{ in = {{ 1 = 11 }} }}");
    let error = resolve(&broker(), &text, Start::Initial).unwrap_err();
    assert!(
        error.starts_with("bounded_offsets: there is no offset for in/0"),
        "{error}"
    );
}

#[test]
fn a_restored_partition_asks_the_broker_for_nothing_and_keeps_its_end() {
    let broker = broker();
    broker.set_away(true);
    let restored = |end| {
        Start::Restored(Position {
            offset: 3,
            end,
            watermark: Some(7),
        })
    };
    let position = resolve(&broker, "startup_mode = 'latest-offset'", restored(None));
    assert_eq!(position.unwrap().offset, 3);
    let bounded = "bounded_mode = 'latest-offset'";
    let position = resolve(&broker, bounded, restored(Some(12))).unwrap();
    assert_eq!((position.end, position.watermark), (Some(12), Some(7)));
    assert_eq!(
        resolve(&broker, bounded, restored(None)).unwrap_err(),
        "nobody there"
    );
    let unbounded = resolve(&broker, "", restored(Some(12))).unwrap();
    assert_eq!(unbounded.end, None, "the job is not bounded any more");
}

#[test]
fn a_partition_that_is_found_later_starts_at_its_first_record() {
    let position = resolve(&broker(), "startup_mode = 'latest-offset'", Start::Earliest);
    assert_eq!(position.unwrap().offset, 10);
}

#[test]
fn an_offset_that_is_gone_is_an_error_unless_a_reset_is_asked_for() {
    let range = OffsetRange {
        earliest: 10,
        latest: 15,
    };
    let reset = |text: &str| rules(text).reset(&partition("in", 0), 3, range);
    let error = reset("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let expected = "read in/0: offset 3 is out of range, the broker has 10 to 15;";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(reset("auto_offset_reset = 'earliest'").unwrap(), 10);
    assert_eq!(reset("auto_offset_reset = 'latest'").unwrap(), 15);
}
