//! The writer on a real folder.

use std::fs;

use super::*;
use crate::snapshot::manifest::Part;
use crate::snapshot::test_support::{
    StoreFixture, block_on, key_groups, sealed_operator, sealed_state,
};

fn sections(snapshot: &SubtaskSnapshot) -> Vec<(String, u64, u64)> {
    let pieces = snapshot
        .operators
        .iter()
        .flat_map(|(_, entry)| entry.pieces());
    pieces
        .map(|piece| (piece.object.to_string(), piece.offset, piece.length))
        .collect()
}

fn section(object: &str, offset: u64, length: u64) -> (String, u64, u64) {
    (format!("shared/{object}"), offset, length)
}

#[test]
fn all_deltas_of_a_checkpoint_share_one_object_and_each_base_has_its_own() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    let operators = [
        sealed_operator(
            "sum",
            vec![
                sealed_state("a", 1, "aaaa", Some((1, "base of a"))),
                sealed_state("b", 1, "bb", None),
                sealed_state("untouched", 1, "", None),
            ],
        ),
        sealed_operator(
            "top",
            vec![sealed_state("c", 1, "ccc", Some((1, "base of c")))],
        ),
    ];
    let snapshot = block_on(writer.write(CheckpointId(5), &operators)).unwrap();
    let delta = "5-sum-0-0000000000000abc-0.delta";
    assert_eq!(
        sections(&snapshot),
        [
            section("5-sum-0-0000000000000abc-0.base", 0, 9),
            section(delta, 0, 4),
            section(delta, 4, 2),
            section("5-sum-0-0000000000000abc-1.base", 0, 9),
            section(delta, 6, 3),
        ]
    );
    assert_eq!(snapshot.uploaded_bytes, 27);
    assert_eq!(
        fs::read(fixture.path("shared").join(delta)).unwrap(),
        b"aaaabbccc"
    );
    let (operator, entry) = &snapshot.operators[0];
    assert_eq!(operator.as_str(), "sum");
    assert_eq!(entry.items, operators[0].items);
    let names: Vec<&str> = entry
        .keyed
        .iter()
        .map(|state| state.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "untouched"]);
    assert_eq!(entry.keyed[2].parts, []);
}

#[test]
fn a_checkpoint_that_changed_nothing_stores_nothing() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    block_on(async {
        let first = [sealed_operator(
            "sum",
            vec![sealed_state("a", 1, "a", None)],
        )];
        let first = writer.write(CheckpointId(1), &first).await.unwrap();
        let second = [sealed_operator("sum", vec![sealed_state("a", 2, "", None)])];
        let second = writer.write(CheckpointId(2), &second).await.unwrap();
        assert_eq!(second.uploaded_bytes, 0);
        assert_eq!(second.objects(), first.objects());
        assert_eq!(fixture.files(), ["shared/1-sum-0-0000000000000abc-0.delta"]);
    });
}

/// The shared folder is a regular file for a while, so that nothing can be stored, whoever the user is.
#[test]
fn what_could_not_be_stored_goes_with_the_next_checkpoint() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    let shared = fixture.path("shared");
    fs::remove_dir(&shared).unwrap();
    fs::write(&shared, "").unwrap();
    let sealed = |epoch, delta: &str| {
        let base = (epoch == 1).then_some((1, "base"));
        [sealed_operator(
            "sum",
            vec![sealed_state("a", epoch, delta, base)],
        )]
    };
    let error = block_on(writer.write(CheckpointId(1), &sealed(1, "one"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.to_string().contains("1-sum-0"), "{error}");

    fs::remove_file(&shared).unwrap();
    let snapshot = block_on(writer.write(CheckpointId(2), &sealed(2, "two"))).unwrap();
    let delta = "2-sum-0-0000000000000abc-0.delta";
    assert_eq!(
        sections(&snapshot),
        [
            section("2-sum-0-0000000000000abc-0.base", 0, 4),
            section(delta, 0, 3),
            section(delta, 3, 3),
        ]
    );
    assert_eq!(fs::read(shared.join(delta)).unwrap(), b"onetwo");
}

#[test]
fn what_is_held_back_of_an_aborted_checkpoint_goes_with_the_next() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    let sealed =
        |epoch, delta: &str| sealed_operator("sum", vec![sealed_state("a", epoch, delta, None)]);
    writer.hold(&sealed(1, "one")).unwrap();
    let snapshot = block_on(writer.write(CheckpointId(2), &[sealed(2, "two")])).unwrap();
    assert_eq!(snapshot.uploaded_bytes, 6);
}

/// A folder lies where the base's object is to go.
#[test]
fn a_base_that_cannot_be_stored_does_not_fail_the_checkpoint() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    fs::create_dir(fixture.path("shared/1-sum-0-0000000000000abc-0.base")).unwrap();
    let state = sealed_state("a", 1, "delta", Some((1, "base")));
    block_on(async {
        let snapshot = writer
            .write(CheckpointId(1), &[sealed_operator("sum", vec![state])])
            .await;
        let delta = section("1-sum-0-0000000000000abc-0.delta", 0, 5);
        assert_eq!(sections(&snapshot.unwrap()), std::slice::from_ref(&delta));
        // It is tried again with the next one.
        let state = sealed_state("a", 2, "", None);
        let snapshot = writer
            .write(CheckpointId(2), &[sealed_operator("sum", vec![state])])
            .await;
        let base = section("2-sum-0-0000000000000abc-0.base", 0, 4);
        assert_eq!(sections(&snapshot.unwrap()), [base, delta]);
    });
}

#[test]
fn a_restored_state_that_is_not_registered_again_stays_in_every_checkpoint() {
    let fixture = StoreFixture::new();
    let part = Part {
        key_groups: key_groups(0, 128),
        base: None,
        deltas: Vec::new(),
    };
    let inherited = KeyedEntry {
        name: "forgotten".to_owned(),
        descriptor: crate::snapshot::test_support::descriptor(),
        parts: vec![part],
    };
    let mut writer = fixture.writer(0, 1);
    writer.inherit(&"sum".into(), std::slice::from_ref(&inherited));
    let sealed = sealed_operator("sum", vec![sealed_state("a", 1, "a", None)]);
    let snapshot = block_on(writer.write(CheckpointId(1), &[sealed])).unwrap();
    assert!(snapshot.operators[0].1.keyed.contains(&inherited));
}

#[test]
fn writing_and_loading_can_run_on_any_thread() {
    fn check(_: impl Send) {}
    let fixture = StoreFixture::new();
    check(fixture.writer(0, 1).write(CheckpointId(1), &[]));
    check(fixture.store.load_newest_valid());
    check(fixture.store.list());
    check(fixture.store.sweep_orphans(None));
}

/// Nobody was told of an object that a failed checkpoint had stored. When the next checkpoint had no use for it any more,
/// it stayed until the job was started again.
#[test]
fn what_a_failed_checkpoint_stored_is_named_by_the_next_one() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    let in_the_way = fixture.path("shared/1-sum-0-0000000000000abc-0.delta");
    fs::create_dir(&in_the_way).unwrap();
    let sealed = |epoch, delta: &str| {
        let state = sealed_state("a", epoch, delta, Some((epoch, "base")));
        [sealed_operator("sum", vec![state])]
    };
    block_on(async {
        let failed = writer.write(CheckpointId(1), &sealed(1, "one")).await;
        failed.unwrap_err();
        let snapshot = writer
            .write(CheckpointId(2), &sealed(2, "two"))
            .await
            .unwrap();
        let base = "shared/1-sum-0-0000000000000abc-0.base";
        let named: Vec<String> = snapshot.objects().iter().map(ToString::to_string).collect();
        assert!(named.contains(&base.to_owned()), "{named:?}");
        let referred = sections(&snapshot);
        assert!(
            referred.iter().all(|(object, ..)| object != base),
            "{referred:?}"
        );

        let snapshot = writer
            .write(CheckpointId(3), &sealed(3, "three"))
            .await
            .unwrap();
        let named: Vec<String> = snapshot.objects().iter().map(ToString::to_string).collect();
        assert!(!named.contains(&base.to_owned()), "{named:?}");
    });
}

/// As above, but without a delta there is nothing that could stand for the base.
#[test]
fn a_base_without_a_delta_fails_the_checkpoint_when_it_cannot_be_stored() {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    let write = |writer: &mut SnapshotWriter, epoch| {
        let base = format!("base {epoch}");
        let state = sealed_state("a", epoch, "", Some((epoch, &base)));
        block_on(writer.write(CheckpointId(epoch), &[sealed_operator("sum", vec![state])]))
    };
    write(&mut writer, 1).unwrap();
    fs::create_dir(fixture.path("shared/2-sum-0-0000000000000abc-0.base")).unwrap();
    let text = write(&mut writer, 2).unwrap_err().to_string();
    assert!(
        text.starts_with("a base that the checkpoint needs: "),
        "{text}"
    );
    let snapshot = write(&mut writer, 3).unwrap();
    let newest = section("3-sum-0-0000000000000abc-0.base", 0, 6);
    assert_eq!(sections(&snapshot), [newest]);
}
