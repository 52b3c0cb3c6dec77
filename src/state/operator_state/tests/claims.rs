//! What an operator registers against what was stored.

use super::support::{backends, restored};
use crate::error::{ErrorKind, Result};
use crate::state::OperatorStateBackend;

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
fn another_kind_or_another_type_under_the_same_name_is_refused() {
    let stored = "operator state \"list\" was stored as list state of u64 (8 bytes";
    check(
        |backend| backend.list_state::<u32>("list"),
        &[stored, "now registered as list state of u32 (4 bytes"],
    );
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
