//! Restores at the same and at other parallelisms.

use std::sync::{Arc, Mutex};

use crate::error::ErrorKind;
use crate::model::{CheckpointId, KeyGroupRange, OperatorId};
use crate::snapshot::test_support::{
    MAX_PARALLELISM, StoreFixture, block_on, sealed_operator, sealed_state,
};
use crate::snapshot::{Deferral, LoadedCheckpoint, OperatorEntry, RestorePlan};

/// The key groups of a part and its bytes.
type Part = (KeyGroupRange, String);

fn plan(loaded: &LoadedCheckpoint, index: usize, parallelism: usize) -> RestorePlan {
    let plan = loaded.restore_plan(&"sum".into(), index, parallelism, MAX_PARALLELISM, false);
    plan.unwrap().unwrap()
}

fn parts(plan: &RestorePlan) -> Vec<Part> {
    let [state] = &plan.states[..] else {
        panic!("expected one state, found {:?}", plan.states);
    };
    state
        .parts
        .fetch()
        .unwrap()
        .iter()
        .map(|part| {
            let pieces = part.base.iter().chain(&part.deltas);
            let bytes: Vec<u8> = pieces.flatten().copied().collect();
            (part.key_groups, String::from_utf8(bytes).unwrap())
        })
        .collect()
}

fn part(start: u16, end: u16, text: &str) -> Part {
    (KeyGroupRange { start, end }, text.to_owned())
}

/// Restores from the newest checkpoint, if there is one, at this parallelism; each subtask then seals one delta.
fn run(fixture: &StoreFixture, checkpoint: u64, parallelism: usize) -> LoadedCheckpoint {
    let operator: OperatorId = "sum".into();
    block_on(async {
        let restored = fixture.store.load_newest_valid().await.unwrap().checkpoint;
        let mut snapshots = Vec::new();
        for index in 0..parallelism {
            let mut writer = fixture.writer(index, parallelism);
            if let Some(restored) = &restored {
                writer.inherit(&operator, &plan(restored, index, parallelism).inherited);
            }
            let delta = format!("{checkpoint}.{index} ");
            let sealed = sealed_operator("sum", vec![sealed_state("total", 1, &delta, None)]);
            let snapshot = writer.write(CheckpointId(checkpoint), &[sealed]).await;
            snapshots.push(snapshot.unwrap());
        }
        // Acknowledgements come in any order.
        snapshots.reverse();
        fixture.commit(checkpoint, snapshots).await;
        fixture
            .store
            .load_newest_valid()
            .await
            .unwrap()
            .checkpoint
            .unwrap()
    })
}

#[test]
fn at_the_same_parallelism_each_subtask_gets_its_own_part_back() {
    let fixture = StoreFixture::new();
    run(&fixture, 1, 2);
    // The second run's delta joins the part that it continues.
    let loaded = run(&fixture, 2, 2);
    assert_eq!(parts(&plan(&loaded, 0, 2)), [part(0, 64, "1.0 2.0 ")]);
    assert_eq!(parts(&plan(&loaded, 1, 2)), [part(64, 128, "1.1 2.1 ")]);
}

#[test]
fn of_a_subtask_that_may_survive_nothing_is_read_before_it_is_needed_and_then_only_its_own() {
    let fixture = StoreFixture::new();
    run(&fixture, 1, 2);
    run(&fixture, 2, 2);
    let fetched: Arc<Mutex<Vec<String>>> = Arc::default();
    let (store, names) = (fixture.store.clone(), Arc::clone(&fetched));
    let deferral = Deferral::new(
        |_, operator, subtask| operator.as_str() == "sum" && subtask.index == 0,
        move |manifest, objects| {
            let objects_named = objects.iter().map(|object| object.to_string());
            names.lock().unwrap().extend(objects_named);
            block_on(store.load_objects(manifest, &objects))
        },
    );
    let loaded = fixture
        .store
        .load_newest(Some(&deferral), CheckpointId::default());
    let loaded = block_on(loaded).unwrap().checkpoint.unwrap();
    assert!(loaded.is_deferred());
    assert_eq!(parts(&plan(&loaded, 1, 2)), [part(64, 128, "1.1 2.1 ")]);
    assert!(fetched.lock().unwrap().is_empty());
    for _ in 0..2 {
        assert_eq!(parts(&plan(&loaded, 0, 2)), [part(0, 64, "1.0 2.0 ")]);
        assert_eq!(
            *fetched.lock().unwrap(),
            [
                "shared/1-sum-0-0000000000000abc-0.delta",
                "shared/2-sum-0-0000000000000abc-0.delta"
            ]
        );
    }
}

#[test]
fn what_goes_missing_before_it_is_needed_is_an_error_that_names_it() {
    let fixture = StoreFixture::new();
    run(&fixture, 1, 1);
    let store = fixture.store.clone();
    let deferral = Deferral::new(
        |_, _, _| true,
        move |manifest, objects| block_on(store.load_objects(manifest, &objects)),
    );
    let loaded = fixture
        .store
        .load_newest(Some(&deferral), CheckpointId::default());
    let loaded = block_on(loaded).unwrap().checkpoint.unwrap();
    let object = "shared/1-sum-0-0000000000000abc-0.delta";
    std::fs::remove_file(fixture.path(object)).unwrap();
    let error = plan(&loaded, 0, 1).states[0].parts.fetch().unwrap_err();
    assert!(error.to_string().contains("checkpoint 1"), "{error}");
    assert!(error.full_message().contains(object), "{error:?}");
}

#[test]
fn parts_stay_apart_and_in_order_across_changes_of_parallelism() {
    let fixture = StoreFixture::new();
    run(&fixture, 1, 1);
    let loaded = run(&fixture, 2, 2);
    // Each half keeps what the single subtask wrote for it, and never sees the other half's newer records.
    assert_eq!(
        parts(&plan(&loaded, 0, 1)),
        [part(0, 64, "1.0 2.0 "), part(64, 128, "1.0 2.1 ")]
    );
    let loaded = run(&fixture, 3, 1);
    assert_eq!(
        parts(&plan(&loaded, 0, 1)),
        [
            part(0, 64, "1.0 2.0 "),
            part(64, 128, "1.0 2.1 "),
            part(0, 128, "3.0 ")
        ]
    );
    assert_eq!(
        parts(&plan(&loaded, 1, 3)),
        [
            part(43, 64, "1.0 2.0 "),
            part(64, 86, "1.0 2.1 "),
            part(43, 86, "3.0 ")
        ]
    );
}

#[test]
fn a_subtask_that_had_finished_leaves_no_keyed_state_when_nothing_is_to_be_made_of_it() {
    let fixture = StoreFixture::new();
    let mut manifest = run(&fixture, 1, 2).manifest().clone();
    let finish = |entry: &mut OperatorEntry| entry.subtasks[1].finished = true;
    manifest.operators.values_mut().for_each(finish);
    let loaded = block_on(fixture.store.load(&manifest)).unwrap();
    let found = |parallelism, leaves_finished_behind| {
        let last = parallelism - 1;
        let plan = loaded.restore_plan(
            &"sum".into(),
            last,
            parallelism,
            MAX_PARALLELISM,
            leaves_finished_behind,
        );
        parts(&plan.unwrap().unwrap())
    };
    assert_eq!(found(1, true), [part(0, 64, "1.0 ")]);
    assert_eq!(
        found(1, false),
        [part(0, 64, "1.0 "), part(64, 128, "1.1 ")]
    );
    assert_eq!(found(2, true), []);
    assert_eq!(found(2, false), [part(64, 128, "1.1 ")], "it is its own");
}

#[test]
fn items_come_from_every_former_subtask_in_order() {
    let fixture = StoreFixture::new();
    let loaded = run(&fixture, 1, 3);
    let plan = plan(&loaded, 0, 1);
    assert_eq!(plan.items.len(), 3);
    let unknown = loaded.restore_plan(&"new".into(), 0, 1, MAX_PARALLELISM, false);
    assert!(unknown.unwrap().is_none());
}

#[test]
fn another_max_parallelism_is_refused() {
    let fixture = StoreFixture::new();
    let loaded = run(&fixture, 1, 1);
    let error = loaded
        .restore_plan(&"sum".into(), 0, 1, 64, false)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("set it to 128"), "{error}");
}
