//! What was in flight, on a real folder: stored, read back, damaged, removed.

use std::fs;

use super::*;
use crate::snapshot::test_support::{MAX_PARALLELISM, StoreFixture, block_on, sealed_operator};
use crate::snapshot::{LoadedCheckpoint, Retention};

fn sealed(upstream: usize, section: &str) -> SealedInFlight {
    SealedInFlight {
        input: "source".into(),
        edge: 0,
        upstream,
        rows: section.len() as u64,
        schema: "letters".to_owned(),
        section: Bytes::copy_from_slice(section.as_bytes()),
    }
}

fn operator(id: &str, in_flight: Vec<SealedInFlight>) -> SealedOperator {
    SealedOperator {
        in_flight,
        ..sealed_operator(id, Vec::new())
    }
}

/// Stores a checkpoint of the operator `sum`; one entry for each of its subtasks.
fn take(fixture: &StoreFixture, number: u64, subtasks: Vec<Vec<SealedInFlight>>) {
    let id = CheckpointId(number);
    block_on(async {
        fixture.store.begin(id).await.unwrap();
        let parallelism = subtasks.len();
        let mut snapshots = Vec::new();
        for (index, in_flight) in subtasks.into_iter().enumerate() {
            let mut writer = fixture.writer(index, parallelism);
            let sealed = [operator("sum", in_flight), operator("top", Vec::new())];
            snapshots.push(writer.write(id, &sealed).await.unwrap());
        }
        fixture.commit(number, snapshots).await;
    });
}

/// Who was to read what from whom, as a subtask is given it back.
fn restored(
    loaded: &LoadedCheckpoint,
    index: usize,
    parallelism: usize,
) -> Vec<(usize, usize, String)> {
    let plan = loaded.restore_plan(&"sum".into(), index, parallelism, MAX_PARALLELISM, false);
    let in_flight = plan.unwrap().unwrap().in_flight;
    let restored = in_flight.into_iter().map(|part| {
        assert_eq!(
            (part.input.as_str(), part.schema.as_str()),
            ("source", "letters")
        );
        let section = String::from_utf8(part.section.to_vec()).unwrap();
        (part.reader, part.upstream, section)
    });
    restored.collect()
}

#[test]
fn each_subtask_is_given_back_its_own_and_at_another_parallelism_all() {
    let fixture = StoreFixture::new();
    take(
        &fixture,
        1,
        vec![
            vec![sealed(0, "aa"), sealed(1, "bbb")],
            vec![sealed(1, "c")],
        ],
    );
    let loaded = block_on(fixture.store.load_newest_valid()).unwrap();
    let loaded = loaded.checkpoint.unwrap();
    let part = |reader, upstream, section: &str| (reader, upstream, section.to_owned());
    let (first, second, third) = (part(0, 0, "aa"), part(0, 1, "bbb"), part(1, 1, "c"));
    assert_eq!(restored(&loaded, 0, 2), [first.clone(), second.clone()]);
    assert_eq!(restored(&loaded, 1, 2), std::slice::from_ref(&third));
    for index in 0..3 {
        let all = [first.clone(), second.clone(), third.clone()];
        assert_eq!(restored(&loaded, index, 3), all);
    }
}

#[test]
fn it_is_one_object_in_the_folder_of_the_checkpoint_and_counts_as_uploaded() {
    let fixture = StoreFixture::new();
    let operators = [operator("sum", vec![sealed(0, "aa"), sealed(1, "bbb")])];
    let mut writer = fixture.writer(3, 4);
    let snapshot = block_on(writer.write(CheckpointId(7), &operators)).unwrap();
    assert_eq!((snapshot.uploaded_bytes, snapshot.in_flight_bytes), (5, 5));
    assert!(snapshot.objects().is_empty(), "it is not shared");
    let entries = &snapshot.operators[0].1.in_flight;
    let places: Vec<_> = entries
        .iter()
        .map(|entry| (entry.piece.object.as_str(), entry.piece.offset, entry.rows))
        .collect();
    let object = "chk-7/sum-3.inflight";
    assert_eq!(places, [(object, 0, 2), (object, 2, 3)]);
    assert_eq!(fs::read(fixture.path(object)).unwrap(), b"aabbb");
}

#[test]
fn a_damaged_byte_of_it_is_damage_of_the_checkpoint() {
    let fixture = StoreFixture::new();
    take(&fixture, 1, vec![vec![sealed(0, "aa")]]);
    take(&fixture, 2, vec![vec![sealed(0, "bb")]]);
    fs::write(fixture.path("chk-2/sum-0.inflight"), b"bX").unwrap();
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    assert_eq!(recovery.damaged.len(), 1);
    let loaded = recovery.checkpoint.unwrap();
    assert_eq!(restored(&loaded, 0, 1), [(0, 0, "aa".to_owned())]);
}

#[test]
fn it_goes_with_its_checkpoint() {
    let fixture = StoreFixture::new();
    let mut retention = Retention::new(1, Vec::new());
    for number in 1..=2 {
        take(&fixture, number, vec![vec![sealed(0, "aa")]]);
        let removal = retention.completed(CheckpointId(number), Default::default());
        block_on(fixture.store.remove(removal));
    }
    let own = ["chk-2/manifest.json", "chk-2/sum-0.inflight"];
    assert_eq!(fixture.files(), own);
}
