//! What may change in a state's types between two runs, and what is said about the rest.

use rkyv::{Archive, Deserialize, Serialize};

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, NAME, all_groups};
use crate::error::{Error, ErrorKind, Result};
use crate::model::SystemClock;
use crate::state::{
    KeyedStateBackend, RestoredState, StateKey, StateSettings, StateSpec, StateValue,
};

crate::state_schema! {
    #[derive(Archive, Serialize, Deserialize, Default)]
    struct Trade {
        bid: i64,
        ask: i64,
    }

    #[derive(Archive, Serialize, Deserialize, Default)]
    struct Order {
        bid: i64,
        ask: i64,
    }

    #[derive(Archive, Serialize, Deserialize, Default)]
    struct Swapped {
        ask: i64,
        bid: i64,
    }

    #[derive(Archive, Serialize, Deserialize, Default)]
    struct Renamed {
        bid: i64,
        offer: i64,
    }

    #[derive(Archive, Serialize, Deserialize, Default)]
    struct Float {
        bid: i64,
        ask: f64,
    }

    #[derive(Archive, Serialize, Deserialize, Default)]
    struct Longer {
        bid: i64,
        ask: i64,
        size: u32,
    }
}

/// What registers a state in a backend.
type Register = Box<dyn Fn(&mut KeyedStateBackend) -> Result<()>>;

fn value<K: StateKey, V: StateValue>(spec: StateSpec<V>) -> Register {
    Box::new(move |backend| backend.value_state::<K, V>(spec.clone()).map(drop))
}

fn entry<K: StateKey, M: StateKey, V: StateValue>() -> Register {
    Box::new(move |backend| backend.entry_state::<K, M, V>(NAME).map(drop))
}

fn named<V>() -> StateSpec<V> {
    NAME.into()
}

fn trades() -> Register {
    value::<u64, Trade>(named())
}

/// Stores a state with one record as `before` registers it, and restores it as `after` does.
fn restore(before: &Register, after: &Register) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let settings = |name: &str| StateSettings {
        directory: Some(folder.path().join(name)),
        max_parallelism: MAX_PARALLELISM,
        key_groups: all_groups(),
        incremental: true,
        local_recovery: None,
        clock: SystemClock::shared(),
    };
    let mut backend = KeyedStateBackend::new(settings("before"), Vec::new());
    before(&mut backend).unwrap();
    let mut chain = Chain::default();
    chain.add(backend.seal().unwrap().remove(0));
    let restored = RestoredState {
        name: NAME.into(),
        descriptor: chain.descriptor.clone().unwrap(),
        parts: vec![chain.part(all_groups())].into(),
    };
    after(&mut KeyedStateBackend::new(
        settings("after"),
        vec![restored],
    ))
}

#[track_caller]
fn check(before: &Register, after: &Register, expected: Result<(), &[&str]>) {
    match (restore(before, after), expected) {
        (Ok(()), Ok(())) => {}
        (Err(error), Err(parts)) => check_error(&error, ErrorKind::Configuration, parts),
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

#[track_caller]
fn check_error(error: &Error, kind: ErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for part in [&format!("state \"{NAME}\": ")]
        .into_iter()
        .map(String::as_str)
        .chain(parts.iter().copied())
    {
        assert!(error.to_string().contains(part), "{error}: no {part}");
    }
}

#[test]
fn a_type_that_is_laid_out_as_before_is_taken_up_as_it_is() {
    check(&trades(), &trades(), Ok(()));
    // The name of a struct does not count.
    check(&trades(), &value::<u64, Order>(named()), Ok(()));
    check(
        &entry::<u64, String, Trade>(),
        &entry::<u64, String, Order>(),
        Ok(()),
    );
}

#[test]
fn any_change_of_the_value_without_a_migration_is_refused() {
    const WAS: &str =
        "it was stored with version 1 as struct { bid: i64, ask: i64 } (16 bytes, alignment 8)";
    fn check_value<V: StateValue>(is: &str) {
        let is = format!("is registered with version 1 as {is}");
        let way_out = "give it a new version and a migration from version 1";
        check(
            &trades(),
            &value::<u64, V>(named()),
            Err(&[WAS, &is, way_out]),
        );
    }
    check_value::<Swapped>("struct { ask: i64, bid: i64 } (16 bytes, alignment 8)");
    check_value::<Renamed>("struct { bid: i64, offer: i64 } (16 bytes, alignment 8)");
    check_value::<Float>("struct { bid: i64, ask: f64 } (16 bytes, alignment 8)");
    check_value::<Longer>("struct { bid: i64, ask: i64, size: u32 } (24 bytes, alignment 8)");
    check_value::<(i64, i64)>("(i64, i64) (16 bytes, alignment 8)");
    check_value::<String>("string (8 bytes, alignment 4)");
}

#[test]
fn another_version_without_a_migration_is_refused() {
    let expected = [
        "it was stored with version 1 as struct",
        "is registered with version 2 as struct",
        "add a migration from version 1 (StateSpec::with_version, StateSpec::with_migration)",
        "register it as it was stored, give the new state another name, or start without the checkpoint",
    ];
    check(
        &trades(),
        &value::<u64, Trade>(named().with_version(2)),
        Err(&expected),
    );
    // Nor does a migration from another version help.
    let other = named()
        .with_version(3)
        .with_migration(2, |trade: Trade| trade);
    check(
        &trades(),
        &value::<u64, Trade>(other),
        Err(&["stored with version 1", "registered with version 3"]),
    );
}

#[test]
fn a_migration_makes_any_change_of_the_value_possible() {
    fn check_value<V: StateValue + Default>() {
        let spec = named::<V>()
            .with_version(2)
            .with_migration(1, |_: Trade| V::default());
        check(&trades(), &value::<u64, V>(spec), Ok(()));
    }
    check_value::<Trade>();
    check_value::<Swapped>();
    check_value::<Longer>();
    check_value::<String>();
}

#[test]
fn a_migration_must_read_what_is_stored() {
    let spec = named::<Longer>()
        .with_version(2)
        .with_migration(1, |_: Swapped| Longer::default());
    check(
        &trades(),
        &value::<u64, Longer>(spec),
        Err(&[
            "the migration from version 1 reads struct { ask: i64, bid: i64 } (16 bytes, alignment 8)",
            "the checkpoint holds that version as struct { bid: i64, ask: i64 } (16 bytes, alignment 8)",
        ]),
    );
}

#[test]
fn keys_and_kinds_cannot_be_changed_at_all() {
    let migrated = named()
        .with_version(2)
        .with_migration(1, |trade: Trade| trade);
    check(
        &trades(),
        &value::<i64, Trade>(migrated),
        Err(&[
            "its key was stored as u64 (8 bytes, alignment 8) and is registered as i64 (8 bytes, alignment 8)",
            "keys cannot be migrated",
        ]),
    );
    check(
        &entry::<u64, u32, i64>(),
        &entry::<u64, i32, i64>(),
        Err(&["its map key was stored as u32 (4 bytes, alignment 4) and is registered as i32"]),
    );
    check(
        &trades(),
        &entry::<u64, u64, Trade>(),
        Err(&["its kind was stored as Value and is registered as Entry"]),
    );
}

#[test]
fn migrations_that_contradict_each_other_are_refused_at_once() {
    let check = |spec: StateSpec<i64>, expected: &str| {
        let error = restore(&trades(), &value::<u64, i64>(spec)).unwrap_err();
        check_error(&error, ErrorKind::Operator, &[expected]);
    };
    let twice = named().with_version(2).with_migration(1, |_: Trade| 0);
    check(
        twice.with_migration(1, |_: i32| 0),
        "its version is 2, and the migration from version 1 is one too many",
    );
    check(
        named().with_version(2).with_migration(2, |_: Trade| 0),
        "its version is 2, and the migration from version 2 is one too many",
    );
}
