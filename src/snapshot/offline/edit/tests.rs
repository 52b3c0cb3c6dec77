//! Operator state that is made of items; keyed states are in `tests/format`.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::error::ErrorKind;
use crate::model::{CheckpointId, OperatorId};
use crate::snapshot::offline::{operator_state_rows, verify};
use crate::snapshot::test_support::{MAX_PARALLELISM, StoreFixture, block_on};
use crate::snapshot::{SealedInFlight, SealedOperator, SnapshotAt};
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
        let sealed = sealed(operator(), &backend);
        (index, sealed)
    });
    // Another operator, which nothing is written for.
    let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
    let list = backend.list_state::<u64>("kept").unwrap();
    list.update(vec![u64::MAX; 3]).unwrap();
    let operators = operators.chain([(0, sealed(OperatorId::new("other"), &backend))]);
    NewJob {
        name: "job".to_owned(),
        max_parallelism: 128,
        graph: Vec::new(),
        operators: operators.collect(),
    }
}

fn sealed(operator: OperatorId, backend: &OperatorStateBackend) -> SealedOperator {
    SealedOperator {
        operator,
        finished: false,
        items: Vec::new(),
        operator_state: backend.seal().unwrap(),
        in_flight: Vec::new(),
        local: None,
        states: Vec::new(),
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
    items_of(snapshot, &operator(), state)
}

fn items_of(
    snapshot: &SnapshotAt,
    operator: &OperatorId,
    state: &str,
) -> BTreeMap<usize, Vec<Value>> {
    let rows = block_on(operator_state_rows(snapshot, operator, state))
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
    for snapshot in [first, third] {
        let kept = items_of(&snapshot, &OperatorId::new("other"), "kept");
        assert_eq!(kept, BTreeMap::from([(0, vec![json!(u64::MAX); 3])]));
    }
}

#[test]
fn items_that_are_not_of_their_schema_are_found_though_every_checksum_is_right() {
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
    let mut draft = SavepointDraft::copy_of(&first);
    let edit = OperatorStateEdit::new(&draft, &operator(), "splits")
        .unwrap()
        .unwrap();
    let other = draft
        .manifest
        .operators
        .get_mut(&OperatorId::new("other"))
        .unwrap();
    let state = &mut other.subtasks[0].operator_state[0];
    state.descriptor.value_schema = "list<bool> (8 bytes, alignment 4)".to_owned();
    let target = SnapshotLocation::of_new("second", path).unwrap();
    block_on(draft.write(&StateEdit::Operator(edit), &target)).unwrap();
    let lying = block_on(SnapshotAt::open("second", path)).unwrap();
    let findings = block_on(verify(&lying, &mut |_| {})).findings;
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert_eq!(finding.state.as_deref(), Some("kept"));
    assert!(finding.damage.contains("is malformed"), "{finding:?}");
}

/// An unaligned checkpoint holds what was in flight, and so does a savepoint that is made of it.
#[test]
fn what_was_in_flight_is_copied_and_verified() {
    let fixture = StoreFixture::new();
    let mut backend = OperatorStateBackend::new(0, 1, Vec::new());
    backend.list_state::<u64>("splits").unwrap();
    let mut sealed = sealed(OperatorId::new("sum"), &backend);
    sealed.in_flight = vec![SealedInFlight {
        input: OperatorId::new("numbers"),
        edge: 0,
        upstream: 0,
        rows: 2,
        schema: "rows".to_owned(),
        section: "in flight".into(),
    }];
    block_on(async {
        let mut writer = fixture.writer(0, 1);
        fixture.store.begin(CheckpointId(5)).await.unwrap();
        let snapshot = writer.write(CheckpointId(5), &[sealed]).await.unwrap();
        fixture.commit(5, vec![snapshot]).await;
    });
    let checkpoint = block_on(SnapshotAt::open("chk-5", &fixture.path(""))).unwrap();
    let draft = SavepointDraft::copy_of(&checkpoint);
    let edit = OperatorStateEdit::new(&draft, &OperatorId::new("sum"), "splits");
    let target = SnapshotLocation::of_new("savepoint", fixture.folder.path()).unwrap();
    let edit = StateEdit::Operator(edit.unwrap().unwrap());
    block_on(draft.write(&edit, &target)).unwrap();
    let savepoint = block_on(SnapshotAt::open("savepoint", fixture.folder.path())).unwrap();
    let loaded = block_on(savepoint.load()).unwrap();
    let plan = loaded.restore_plan(&OperatorId::new("sum"), 0, 1, MAX_PARALLELISM, false);
    let in_flight = plan.unwrap().unwrap().in_flight;
    assert_eq!(in_flight.len(), 1);
    assert_eq!(in_flight[0].section, "in flight");

    let file = fixture.folder.path().join("savepoint/sum-0.inflight");
    std::fs::write(file, "in fright").unwrap();
    let findings = block_on(verify(&savepoint, &mut |_| {})).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].damage.contains("is damaged"), "{findings:?}");
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
    let edit = StateEdit::Operator(edit);
    let target = SnapshotLocation::of_new("second", path).unwrap();
    // What is to be copied is gone: the folder is there by then.
    std::fs::remove_file(path.join("first/other-0.state")).unwrap();
    let error = block_on(draft.write(&edit, &target)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!path.join("second").exists());

    std::fs::create_dir(path.join("second")).unwrap();
    let draft = SavepointDraft::of_job(new_job(), 0);
    let error = block_on(draft.write(&edit, &target)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(path.join("second").exists());
}
