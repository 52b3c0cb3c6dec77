//! Operator state on a real folder: stored, read back, damaged, removed.

use std::fs;

use bytes::Bytes;

use super::*;
use crate::error::ErrorKind;
use crate::model::OperatorId;
use crate::snapshot::test_support::{
    MAX_PARALLELISM, StoreFixture, block_on, sealed_operator, sealed_state,
};
use crate::snapshot::{LoadedCheckpoint, Retention, Sweep};
use crate::state::{OperatorStateDescriptor, OperatorStateKind};

const SECOND_STATE: &str = "chk-2/sum-0.state";

fn state(name: &str, kind: OperatorStateKind, section: &str) -> SealedOperatorState {
    SealedOperatorState {
        name: name.into(),
        descriptor: OperatorStateDescriptor {
            kind,
            version: 1,
            key_schema: None,
            value_schema: "u8".to_owned(),
        },
        section: Bytes::copy_from_slice(section.as_bytes()),
    }
}

fn list(name: &str, section: &str) -> SealedOperatorState {
    state(name, OperatorStateKind::List, section)
}

fn operator(id: &str, operator_state: Vec<SealedOperatorState>) -> SealedOperator {
    SealedOperator {
        in_flight: Vec::new(),
        operator_state,
        ..sealed_operator(id, Vec::new())
    }
}

/// Stores a checkpoint of the operator `sum`; one entry for each of its subtasks.
async fn take(fixture: &StoreFixture, number: u64, subtasks: Vec<Vec<SealedOperatorState>>) {
    let id = CheckpointId(number);
    fixture.store.begin(id).await.unwrap();
    let parallelism = subtasks.len();
    let mut snapshots = Vec::new();
    for (index, states) in subtasks.into_iter().enumerate() {
        let mut writer = fixture.writer(index, parallelism);
        let sealed = [operator("sum", states)];
        snapshots.push(writer.write(id, &sealed).await.unwrap());
    }
    fixture.commit(number, snapshots).await;
}

/// Each state of the operator `sum`, with what each former subtask had of it.
fn content(loaded: &LoadedCheckpoint) -> Vec<(String, Vec<Option<String>>)> {
    let plan = loaded.restore_plan(&"sum".into(), 0, 1, MAX_PARALLELISM, false);
    let states = plan.unwrap().unwrap().operator_state;
    let text = |section: &Option<Bytes>| {
        let section = section.as_ref()?;
        Some(String::from_utf8(section.to_vec()).unwrap())
    };
    let content = states.iter().map(|state| {
        let sections = state.sections.iter().map(text);
        (state.name.to_string(), sections.collect())
    });
    content.collect()
}

fn newest(fixture: &StoreFixture) -> LoadedCheckpoint {
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    assert_eq!(recovery.damaged, []);
    recovery.checkpoint.unwrap()
}

#[test]
fn the_states_of_a_chain_share_an_object_in_the_folder_of_the_checkpoint() {
    let fixture = StoreFixture::new();
    let operators = [
        operator("sum", vec![list("a", "aaaa"), list("b", "bb")]),
        operator("none", Vec::new()),
        operator("top", vec![list("a", "ccc")]),
    ];
    let mut writer = fixture.writer(3, 4);
    let snapshot = block_on(writer.write(CheckpointId(7), &operators)).unwrap();
    let places: Vec<Vec<(&str, u64, u64)>> = snapshot
        .operators
        .iter()
        .map(|(_, entry)| {
            let states = entry.operator_state.iter();
            let place = |state: &OperatorStateEntry| {
                assert_eq!(state.piece.object.as_str(), "chk-7/sum-3.state");
                (state.piece.offset, state.piece.length)
            };
            states
                .map(|state| (state.name.as_str(), place(state).0, place(state).1))
                .collect()
        })
        .collect();
    assert_eq!(places[0], [("a", 0, 4), ("b", 4, 2)]);
    assert_eq!(places[1], []);
    assert_eq!(places[2], [("a", 6, 3)]);
    assert_eq!(snapshot.uploaded_bytes, 9);
    assert!(snapshot.objects().is_empty(), "it is not shared");
    let stored = fs::read(fixture.path("chk-7/sum-3.state")).unwrap();
    assert_eq!(stored, b"aaaabbccc");
}

#[test]
fn every_former_subtask_s_section_comes_back_under_its_number() {
    let fixture = StoreFixture::new();
    let subtasks = vec![
        vec![list("a", "a0"), list("b", "b0")],
        vec![list("b", "b1")],
        vec![list("b", "b2"), list("a", "a2")],
    ];
    block_on(take(&fixture, 1, subtasks));
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        content(&newest(&fixture)),
        [
            ("a".to_owned(), vec![some("a0"), None, some("a2")]),
            ("b".to_owned(), vec![some("b0"), some("b1"), some("b2")]),
        ]
    );
}

#[test]
fn subtasks_that_disagree_on_a_state_are_damage() {
    let fixture = StoreFixture::new();
    let union = state("a", OperatorStateKind::UnionList, "a1");
    block_on(take(&fixture, 1, vec![vec![list("a", "a0")], vec![union]]));
    let operator: OperatorId = "sum".into();
    let plan = newest(&fixture).restore_plan(&operator, 0, 1, MAX_PARALLELISM, false);
    let error = plan.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("state a"), "{error}");
}

/// Two checkpoints; after damage to the second it is named with this text, and the first is used.
fn check_damage(damage: impl FnOnce(&StoreFixture), expected: &str) {
    let fixture = StoreFixture::new();
    block_on(async {
        take(&fixture, 1, vec![vec![list("a", "first")]]).await;
        take(&fixture, 2, vec![vec![list("a", "second")]]).await;
    });
    damage(&fixture);
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    let [damaged] = &recovery.damaged[..] else {
        panic!("{expected}: found {:?}", recovery.damaged);
    };
    assert_eq!(damaged.checkpoint, CheckpointId(2));
    assert_eq!(damaged.damage.to_string(), expected);
    let loaded = recovery.checkpoint.unwrap();
    assert_eq!(
        content(&loaded),
        [("a".to_owned(), vec![Some("first".to_owned())])]
    );
}

#[test]
fn damaged_operator_state_is_named_and_the_checkpoint_before_it_is_used() {
    check_damage(
        |fixture| fs::remove_file(fixture.path(SECOND_STATE)).unwrap(),
        "chk-2/sum-0.state is missing",
    );
    check_damage(
        |fixture| fs::write(fixture.path(SECOND_STATE), "secon").unwrap(),
        "chk-2/sum-0.state is cut off: it has 5 bytes of 6",
    );
    let checksum = |text: &str| crate::storage::Checksum::of(text.as_bytes());
    check_damage(
        // One bit of the first letter.
        |fixture| fs::write(fixture.path(SECOND_STATE), "recond").unwrap(),
        &format!(
            "chk-2/sum-0.state is damaged: its bytes from 0 on have the checksum {}, not {}",
            checksum("recond"),
            checksum("second")
        ),
    );
}

#[test]
fn operator_state_is_removed_with_its_checkpoint() {
    let fixture = StoreFixture::new();
    block_on(async {
        for number in 1..=3 {
            take(&fixture, number, vec![vec![list("a", "a")], vec![]]).await;
        }
        let recovery = fixture.store.load_newest_valid().await.unwrap();
        let mut retention = Retention::new(2, recovery.found);
        let fourth = CheckpointId(4);
        take(&fixture, 4, vec![vec![list("a", "a")]]).await;
        let removal = retention.completed(fourth, Default::default());
        assert_eq!(removal.checkpoints, [CheckpointId(1), CheckpointId(2)]);
        assert!(fixture.store.remove(removal).await.is_empty());
    });
    assert_eq!(
        fixture.files(),
        [
            "chk-3/manifest.json",
            "chk-3/sum-0.state",
            "chk-4/manifest.json",
            "chk-4/sum-0.state",
        ]
    );
}

#[test]
fn operator_state_of_a_checkpoint_that_was_never_completed_is_swept_up() {
    let fixture = StoreFixture::new();
    block_on(async {
        let half = [operator("sum", vec![list("a", "a")])];
        let mut writer = fixture.writer(0, 1);
        writer.write(CheckpointId(1), &half).await.unwrap();
        take(&fixture, 2, vec![vec![list("a", "a")]]).await;
        writer.write(CheckpointId(3), &half).await.unwrap();
        let sweep = fixture.store.sweep_orphans(Some(CheckpointId(2))).await;
        assert_eq!(
            sweep,
            Sweep {
                objects: 0,
                folders: 1
            }
        );
        let recovery = fixture.store.load_newest_valid().await.unwrap();
        assert_eq!(recovery.next_id(), CheckpointId(4));
    });
    assert!(!fixture.path("chk-1").exists());
    assert!(
        fixture.path("chk-3/sum-0.state").exists(),
        "its folder is the only trace of an id that was used"
    );
}

/// A folder lies where the object is to go. What was sealed of keyed state goes with the next checkpoint.
#[test]
fn operator_state_that_cannot_be_stored_fails_the_checkpoint() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    fs::create_dir_all(fixture.path("chk-1/sum-0.state")).unwrap();
    let sealed = |epoch, delta: &str| {
        [SealedOperator {
            in_flight: Vec::new(),
            operator_state: vec![list("a", "aaa")],
            local: None,
            ..sealed_operator("sum", vec![sealed_state("total", epoch, delta, None)])
        }]
    };
    let error = block_on(writer.write(CheckpointId(1), &sealed(1, "one"))).unwrap_err();
    assert!(error.to_string().contains("chk-1/sum-0.state"), "{error}");
    let snapshot = block_on(writer.write(CheckpointId(2), &sealed(2, "two"))).unwrap();
    // The delta of the first epoch was stored after all.
    assert_eq!(snapshot.uploaded_bytes, 6);
    assert_eq!(snapshot.objects().len(), 2);
}
