//! Who is given what, at the same and at other parallelisms.

use super::support::{backends, restored};
use crate::state::{OperatorStateBackend, OperatorStateKind, RestoredSections};

/// What is restored from subtasks that had these items of one list.
fn lists(kind: OperatorStateKind, items: &[&[u32]]) -> Vec<RestoredSections> {
    let sealed: Vec<_> = backends(items.len(), &[])
        .iter_mut()
        .zip(items)
        .map(|(backend, items)| {
            let list = match kind {
                OperatorStateKind::UnionList => backend.union_list_state("list"),
                _ => backend.list_state("list"),
            };
            list.unwrap().update(items.to_vec()).unwrap();
            backend.seal().unwrap()
        })
        .collect();
    restored(&sealed)
}

#[test]
fn a_list_state_is_dealt_out_when_the_parallelism_changes() {
    let check = |former: &[&[u32]], expected: &[&[u32]]| {
        let restored = lists(OperatorStateKind::List, former);
        for (backend, expected) in backends(expected.len(), &restored).iter_mut().zip(expected) {
            let list = backend.list_state::<u32>("list").unwrap();
            assert_eq!(*list.get(), **expected, "of {former:?}");
            assert!(backend.unclaimed().is_empty());
        }
    };
    check(&[&[1, 2, 3], &[4, 5]], &[&[1, 4], &[2, 5], &[3]]);
    check(&[&[1, 2, 3], &[], &[4, 5]], &[&[1, 3, 5], &[2, 4]]);
    check(&[&[1, 2, 3], &[4, 5]], &[&[1, 2, 3, 4, 5]]);
    check(&[&[1]], &[&[1], &[], &[]]);
    check(&[&[]], &[&[], &[]]);
}

/// States of one item each would otherwise all go to the first subtask.
#[test]
fn the_items_of_all_list_states_go_round_together() {
    let mut former = OperatorStateBackend::new(0, 1, Vec::new());
    for (name, items) in [
        ("a", vec![1]),
        ("b", vec![2]),
        ("c", vec![3, 4]),
        ("e", vec![5]),
    ] {
        former
            .list_state::<u32>(name)
            .unwrap()
            .update(items)
            .unwrap();
    }
    // What everyone is given does not count.
    let union = former.union_list_state::<u32>("d").unwrap();
    union.update(vec![7, 8]).unwrap();
    let restored = restored(&[former.seal().unwrap()]);
    let expected: [[&[u32]; 4]; 3] = [
        [&[1], &[], &[4], &[]],
        [&[], &[2], &[], &[5]],
        [&[], &[], &[3], &[]],
    ];
    for (backend, expected) in backends(3, &restored).iter_mut().zip(expected) {
        // The order in which they are registered does not matter.
        for (name, items) in ["a", "b", "c", "e"].into_iter().zip(expected).rev() {
            let list = backend.list_state::<u32>(name).unwrap();
            assert_eq!(*list.get(), *items, "{name}");
        }
    }
}

#[test]
fn a_list_state_stays_where_it_was_when_the_parallelism_does() {
    let former: &[&[u32]] = &[&[1, 2, 3], &[], &[4]];
    let restored = lists(OperatorStateKind::List, former);
    for (backend, own) in backends(3, &restored).iter_mut().zip(former) {
        assert_eq!(*backend.list_state::<u32>("list").unwrap().get(), **own);
    }
}

#[test]
fn a_union_list_state_is_given_to_everyone() {
    let restored = lists(OperatorStateKind::UnionList, &[&[3, 1], &[], &[2]]);
    for parallelism in 1..=4 {
        for mut backend in backends(parallelism, &restored) {
            let list = backend.union_list_state::<u32>("list").unwrap();
            assert_eq!(*list.get(), [3, 1, 2], "at parallelism {parallelism}");
        }
    }
}

/// The maps differ only to show whose is taken.
#[test]
fn a_broadcast_state_is_taken_from_one_former_subtask() {
    let check = |former: &[Option<&str>], expected: &[&str]| {
        let sealed: Vec<_> = backends(former.len(), &[])
            .iter_mut()
            .zip(former)
            .map(|(backend, text)| {
                if let Some(text) = text {
                    let map = backend.broadcast_state::<u8, String>("map").unwrap();
                    map.put(1, (*text).to_owned()).unwrap();
                }
                backend.seal().unwrap()
            })
            .collect();
        let restored = restored(&sealed);
        for (backend, text) in backends(expected.len(), &restored).iter_mut().zip(expected) {
            let map = backend.broadcast_state::<u8, String>("map").unwrap();
            assert_eq!(map.get(&1).unwrap().as_str(), *text, "of {former:?}");
        }
    };
    check(&[Some("a"), Some("b")], &["a", "b", "a", "b", "a"]);
    check(&[Some("a"), Some("b"), Some("c")], &["a", "b"]);
    check(&[Some("a"), None, None, Some("d")], &["a", "d", "d", "d"]);
    check(&[Some("a"), None], &["a", "a"]);
}

#[test]
fn a_state_that_was_never_stored_is_empty() {
    let mut backend = OperatorStateBackend::new(1, 2, Vec::new());
    assert!(backend.list_state::<u8>("list").unwrap().get().is_empty());
    let map = backend.broadcast_state::<u8, u8>("map").unwrap();
    assert!(map.entries().is_empty());
}
