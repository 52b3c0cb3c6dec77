//! Operator state that is made of items; keyed states are in `tests/format`.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::error::ErrorKind;
use crate::model::OperatorId;
use crate::snapshot::offline::{operator_state_rows, verify};
use crate::snapshot::test_support::block_on;
use crate::snapshot::{SealedOperator, SnapshotAt};
use crate::state::OperatorStateBackend;
use crate::state::rows::OperatorStateCodec;
use crate::storage::SnapshotLocation;
use serde_json::{Value, json};

const PARALLELISM: usize = 2;

fn operator() -> OperatorId {
    OperatorId::new("router")
}

/// A job with an operator that has an operator state of each kind.
fn new_job() -> NewJob {
    let operators = (0..PARALLELISM).map(|index| {
        let mut backend = OperatorStateBackend::new(index, PARALLELISM, Vec::new());
        backend.list_state::<u64>("splits").unwrap();
        backend.union_list_state::<String>("names").unwrap();
        backend.broadcast_state::<i64, String>("rules").unwrap();
        let sealed = SealedOperator {
            operator: operator(),
            finished: false,
            items: Vec::new(),
            operator_state: backend.seal().unwrap(),
            in_flight: Vec::new(),
            local: None,
            states: Vec::new(),
        };
        (index, sealed)
    });
    NewJob {
        name: "job".to_owned(),
        max_parallelism: 128,
        graph: Vec::new(),
        operators: operators.collect(),
    }
}

/// Writes items, each as the subtask, the key and the value, into a new savepoint `to`.
fn write(
    draft: SavepointDraft,
    state: &str,
    items: &[(Option<usize>, Option<Value>, Option<Value>)],
    folder: &Path,
    to: &str,
) -> SnapshotAt {
    let mut edit = OperatorStateEdit::new(&draft, &operator(), state)
        .unwrap()
        .unwrap();
    let codec = OperatorStateCodec::new(edit.descriptor());
    for (subtask, key, value) in items {
        let item = ItemEdit {
            subtask: *subtask,
            key: key
                .as_ref()
                .map(|key| codec.key().unwrap().encode(key).unwrap()),
            value: value
                .as_ref()
                .map(|value| codec.value().encode(value).unwrap()),
        };
        edit.add(item).unwrap();
    }
    let target = SnapshotLocation::of_new(to, folder).unwrap();
    block_on(draft.write(&StateEdit::Operator(edit), &target)).unwrap();
    let snapshot = block_on(SnapshotAt::open(to, folder)).unwrap();
    let verification = block_on(verify(&snapshot, &mut |_| {}));
    assert_eq!(verification.findings, []);
    snapshot
}

/// The items of a state: of each subtask, the keys and values.
fn items(snapshot: &SnapshotAt, state: &str) -> BTreeMap<usize, Vec<Value>> {
    let rows = block_on(operator_state_rows(snapshot, &operator(), state))
        .unwrap()
        .unwrap();
    let mut items: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    for row in rows {
        let value = row.item.value.to_value();
        let shown = match row.item.key {
            Some(key) => json!([key.to_value(), value]),
            None => value,
        };
        items.entry(row.subtask).or_default().push(shown);
    }
    items
}

#[test]
fn the_items_of_lists_take_the_place_of_all_and_the_other_states_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let dealt: Vec<_> = (0..3).map(|item| (None, None, Some(json!(item)))).collect();
    let first = write(
        SavepointDraft::of_job(new_job(), 0),
        "splits",
        &dealt,
        path,
        "first",
    );
    assert_eq!(
        items(&first, "splits"),
        BTreeMap::from([(0, vec![json!(0), json!(2)]), (1, vec![json!(1)])])
    );

    let named = [
        (Some(1), None, Some(json!("a"))),
        (Some(1), None, Some(json!("b"))),
    ];
    let second = write(
        SavepointDraft::copy_of(&first),
        "names",
        &named,
        path,
        "second",
    );
    assert_eq!(
        items(&second, "names"),
        BTreeMap::from([(1, vec![json!("a"), json!("b")])])
    );
    assert_eq!(items(&second, "splits"), items(&first, "splits"));

    let moved = [(Some(1), None, Some(json!(9)))];
    let third = write(
        SavepointDraft::copy_of(&second),
        "splits",
        &moved,
        path,
        "third",
    );
    assert_eq!(
        items(&third, "splits"),
        BTreeMap::from([(1, vec![json!(9)])])
    );
    assert_eq!(items(&third, "names"), items(&second, "names"));
}

#[test]
fn the_entries_of_a_broadcast_state_are_put_and_deleted_in_every_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let rule =
        |key: i64, value: Option<&str>| (None, Some(json!(key)), value.map(|value| json!(value)));
    let rules = [
        rule(5, Some("five")),
        rule(-2, Some("minus two")),
        rule(5, Some("V")),
    ];
    let first = write(
        SavepointDraft::of_job(new_job(), 0),
        "rules",
        &rules,
        path,
        "first",
    );
    let expected = vec![json!([-2, "minus two"]), json!([5, "V"])];
    assert_eq!(
        items(&first, "rules"),
        BTreeMap::from([(0, expected.clone()), (1, expected)])
    );

    let changes = [rule(-2, None), rule(3, Some("three")), rule(77, None)];
    let second = write(
        SavepointDraft::copy_of(&first),
        "rules",
        &changes,
        path,
        "second",
    );
    let expected = vec![json!([3, "three"]), json!([5, "V"])];
    assert_eq!(
        items(&second, "rules"),
        BTreeMap::from([(0, expected.clone()), (1, expected)])
    );

    // Of a template nothing is left but what states there are.
    let draft = SavepointDraft::empty_like(&second, 0).unwrap();
    let third = write(draft, "rules", &[rule(1, Some("one"))], path, "third");
    let expected = vec![json!([1, "one"])];
    assert_eq!(
        items(&third, "rules"),
        BTreeMap::from([(0, expected.clone()), (1, expected)])
    );
    assert_eq!(items(&third, "splits"), BTreeMap::new());
}

#[test]
fn items_that_cannot_be_are_refused() {
    let draft = SavepointDraft::of_job(new_job(), 0);
    assert!(
        OperatorStateEdit::new(&draft, &operator(), "split")
            .unwrap()
            .is_none()
    );
    let mut edit = OperatorStateEdit::new(&draft, &operator(), "splits")
        .unwrap()
        .unwrap();
    let mut check = |subtask, value: Option<Vec<u8>>, expected: &str| {
        let item = ItemEdit {
            subtask,
            key: None,
            value,
        };
        let error = edit.add(item).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        Some(2),
        Some(vec![0; 8]),
        "there is no subtask 2: the operator has 2",
    );
    check(None, None, "cannot be deleted");
}

/// The savepoint's place is taken, and its object cannot be written: nothing of it stays, and what is there is untouched.
#[test]
fn nothing_stays_of_a_savepoint_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let items = [(None, None, Some(json!(1)))];
    let first = write(
        SavepointDraft::of_job(new_job(), 0),
        "splits",
        &items,
        path,
        "first",
    );
    let draft = SavepointDraft::copy_of(&first);
    let edit = OperatorStateEdit::new(&draft, &operator(), "names")
        .unwrap()
        .unwrap();
    let target = SnapshotLocation::of_new("second", path).unwrap();
    // An object of another state of the same subtask is needed, and gone.
    for file in std::fs::read_dir(path.join("first")).unwrap() {
        let file = file.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "state")
        {
            std::fs::remove_file(file).unwrap();
        }
    }
    let error = block_on(draft.write(&StateEdit::Operator(edit), &target)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!path.join("second").exists());

    std::fs::create_dir(path.join("second")).unwrap();
    let draft = SavepointDraft::of_job(new_job(), 0);
    let edit = OperatorStateEdit::new(&draft, &operator(), "names")
        .unwrap()
        .unwrap();
    let error = block_on(draft.write(&StateEdit::Operator(edit), &target)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(path.join("second").exists());
}
