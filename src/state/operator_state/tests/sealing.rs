//! Handles and barriers.

use super::support::only_section;
use crate::error::ErrorKind;
use crate::state::OperatorStateBackend;

#[test]
fn a_state_that_has_not_changed_is_not_serialised_again() {
    let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
    let map = backend.broadcast_state::<u64, String>("map").unwrap();
    map.put(1, "one".to_owned()).unwrap();
    let first = only_section(&backend);
    // Looking is no change.
    assert_eq!(map.entries().len(), 1);
    assert!(map.contains(&1));
    let second = only_section(&backend);
    assert_eq!(first.as_ptr(), second.as_ptr());

    map.put(2, "two".to_owned()).unwrap();
    let third = only_section(&backend);
    assert_ne!(first, third);
    map.remove(&2).unwrap();
    assert_eq!(only_section(&backend), first);
    map.clear().unwrap();
    assert_ne!(only_section(&backend), first);
}

#[test]
fn every_change_of_a_list_is_in_the_next_barrier() {
    let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
    let list = backend.list_state::<u16>("list").unwrap();
    let empty = only_section(&backend);
    list.add(5).unwrap();
    let added = only_section(&backend);
    assert_ne!(added, empty);
    list.update(vec![6, 7]).unwrap();
    assert_eq!(*list.get(), [6, 7]);
    assert_ne!(only_section(&backend), added);
    list.clone().clear().unwrap();
    assert_eq!(only_section(&backend), empty);
}

#[test]
fn a_change_while_a_reference_is_held_is_an_error() {
    let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
    let map = backend.broadcast_state::<u8, u8>("map").unwrap();
    map.put(1, 2).unwrap();
    let held = map.get(&1);
    let error = map.put(1, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operator);
    assert!(error.to_string().contains("\"map\""), "{error}");
    drop(held);
    map.put(1, 3).unwrap();
    assert_eq!(map.remove(&1).unwrap(), Some(3));
}

#[test]
fn the_bytes_are_as_the_documentation_says() {
    let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
    let map = backend.broadcast_state::<u32, u8>("map").unwrap();
    map.put(0x0102_0304, 9).unwrap();
    let expected = [
        &b"FMos"[..],
        &[1, 0, 2, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 4, 3, 2, 1],
        &[1, 0, 0, 0, 9],
    ];
    assert_eq!(only_section(&backend), expected.concat());
}
