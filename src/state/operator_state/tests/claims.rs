//! What an operator registers against what was stored.

use std::time::Duration;

use super::support::{backends, restored};
use crate::error::{Error, ErrorKind, Result};
use crate::state::{OperatorListState, OperatorStateBackend, StateSpec, StateTtl, StateValue};

/// A backend that is given back a list of `u64` and a broadcast state, `u32` to `String`.
fn restored_backend() -> OperatorStateBackend {
    let mut former = OperatorStateBackend::new(0, 1, Vec::new());
    former.list_state::<u64>("list").unwrap().add(7).unwrap();
    former.broadcast_state::<u32, String>("rules").unwrap();
    let restored = restored(&[former.seal().unwrap()]);
    backends(1, &restored).remove(0)
}

fn check<T>(register: impl Fn(&mut OperatorStateBackend) -> Result<T>, expected: &[&str]) {
    let mut backend = restored_backend();
    let Err(error) = register(&mut backend) else {
        panic!("{expected:?}: it was registered");
    };
    assert_eq!(error.kind(), ErrorKind::Configuration);
    for part in expected {
        assert!(error.to_string().contains(part), "{part:?} in {error}");
    }
}

#[test]
fn another_kind_or_other_keys_under_the_same_name_are_refused() {
    let stored = "operator state \"list\" was stored as list state of u64 (8 bytes";
    check(
        |backend| backend.union_list_state::<u64>("list"),
        &[stored, "now registered as union list state of u64"],
    );
    check(
        |backend| backend.broadcast_state::<u64, u64>("list"),
        &[stored, "now registered as broadcast state of u64"],
    );
    check(
        |backend| backend.broadcast_state::<u64, String>("rules"),
        &[
            "operator state \"rules\" was stored as broadcast state of string",
            " by u32",
            " by u64",
        ],
    );
}

#[test]
fn another_type_or_version_without_a_migration_is_refused_with_both_versions() {
    check(
        |backend| backend.list_state::<u32>("list"),
        &[
            "operator state \"list\": it was stored with version 1 as u64 (8 bytes",
            "registered with version 1 as u32 (4 bytes",
            "give it a new version and a migration from version 1",
        ],
    );
    check(
        |backend| backend.broadcast_state::<u32, u64>(StateSpec::new("rules").with_version(3)),
        &[
            "operator state \"rules\": it was stored with version 1 as string",
            "registered with version 3 as u64",
            "add a migration from version 1",
        ],
    );
    check(
        |backend| {
            let spec = StateSpec::new("list").with_version(2);
            backend.list_state(spec.with_migration(1, |old: i8| u32::from(old as u8)))
        },
        &[
            "the migration from version 1 reads i8",
            "holds that version as u64",
        ],
    );
    // A change in meaning alone.
    check(
        |backend| backend.list_state::<u64>(StateSpec::new("list").with_version(2)),
        &["with version 1 as u64", "with version 2 as u64"],
    );
}

#[test]
fn a_migration_makes_items_and_values_of_the_new_type() {
    let mut former = OperatorStateBackend::new(0, 1, Vec::new());
    former
        .list_state::<u64>("list")
        .unwrap()
        .update(vec![7, 8, 9])
        .unwrap();
    former
        .union_list_state::<u64>("union")
        .unwrap()
        .add(5)
        .unwrap();
    let rules = former.broadcast_state::<u32, u64>("rules").unwrap();
    rules.put(1, 10).unwrap();
    fn second<T: StateValue>(name: &str, migrate: fn(u64) -> T) -> StateSpec<T> {
        StateSpec::new(name)
            .with_version(2)
            .with_migration(1, migrate)
    }
    let restored = restored(&[former.seal().unwrap()]);
    let mut sealed = Vec::new();
    for (mut backend, items) in backends(2, &restored)
        .into_iter()
        .zip([vec!["7", "9"], vec!["8"]])
    {
        let list = backend
            .list_state(second("list", |old| old.to_string()))
            .unwrap();
        assert_eq!(*list.get(), *items);
        let union = backend
            .union_list_state(second("union", |old| -(old as i64)))
            .unwrap();
        assert_eq!(*union.get(), [-5]);
        let rules = second("rules", |old| old.to_string());
        let rules = backend.broadcast_state::<u32, String>(rules).unwrap();
        assert_eq!(rules.get(&1).as_deref().map(String::as_str), Some("10"));
        sealed.push(backend.seal().unwrap());
    }
    // The next checkpoint holds the new version, which needs no migration any more.
    let restored = super::support::restored(&sealed);
    let versions: Vec<u32> = restored
        .iter()
        .map(|state| state.descriptor.version)
        .collect();
    assert_eq!(versions, [2, 2, 2]);
    let mut backend = backends(2, &restored).remove(1);
    let list: OperatorListState<String> = backend
        .list_state(StateSpec::new("list").with_version(2))
        .unwrap();
    assert_eq!(*list.get(), ["8"]);
}

#[test]
fn a_migration_that_fails_says_so_with_the_state_and_the_writer() {
    let spec = StateSpec::<u32>::new("list").with_version(2);
    let spec = spec.with_fallible_migration(1, |_: u64| {
        Err(Error::new(ErrorKind::Operator, "it does not fit"))
    });
    let error = restored_backend().list_state(spec).err().unwrap();
    let expected = "operator state \"list\": what subtask 0 wrote: its migration from version 1: it does not fit";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_no_matter_of_operator_state_is_refused() {
    let check = |spec: StateSpec<u64>, expected: &str| {
        let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
        let error = backend.list_state(spec).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Operator);
        assert!(error.to_string().contains(expected), "{error}");
    };
    let time_to_live = StateTtl::new(Duration::from_secs(1));
    check(
        StateSpec::new("list").with_time_to_live(time_to_live),
        "operator state \"list\" cannot have a time-to-live",
    );
    check(
        StateSpec::new("list").with_migration(1, |old: u32| u64::from(old)),
        "operator state \"list\": its version is 1, and the migration from version 1 is one too many",
    );
}

#[test]
fn what_nobody_registers_is_named() {
    let mut backend = restored_backend();
    assert_eq!(backend.unclaimed().len(), 2);
    assert_eq!(*backend.list_state::<u64>("list").unwrap().get(), [7]);
    assert_eq!(backend.unclaimed(), ["rules"]);
}

#[test]
fn a_name_can_be_registered_only_once() {
    let mut backend = restored_backend();
    backend.list_state::<u64>("list").unwrap();
    let Err(error) = backend.broadcast_state::<u64, u64>("list") else {
        panic!("it was registered twice");
    };
    assert_eq!(error.kind(), ErrorKind::Operator);
    assert!(error.to_string().contains("\"list\""), "{error}");
}
