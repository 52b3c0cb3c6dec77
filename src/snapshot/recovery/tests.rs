//! Every kind of damage, on a real folder: it is named, and the checkpoint before it is used.

use std::fs;

use super::*;
use crate::snapshot::SnapshotWriter;
use crate::snapshot::test_support::{
    MAX_PARALLELISM, StoreFixture, block_on, sealed_operator, sealed_state,
};
use crate::storage::Checksum;

const FIRST_DELTA: &str = "shared/1-sum-0-0000000000000abc-0.delta";
const THIRD_DELTA: &str = "shared/3-sum-0-0000000000000abc-0.delta";
const THIRD_BASE: &str = "shared/3-sum-0-0000000000000abc-0.base";
const THIRD_MANIFEST: &str = "chk-3/manifest.json";

/// Checkpoints 1 and 2 are deltas, checkpoint 3 is a base with a delta after it.
fn three_checkpoints() -> StoreFixture {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    block_on(async {
        take(&fixture, &mut writer, 1, "one ", None).await;
        take(&fixture, &mut writer, 2, "two ", None).await;
        take(&fixture, &mut writer, 3, "three ", Some((3, "base "))).await;
    });
    fixture
}

async fn take(
    fixture: &StoreFixture,
    writer: &mut SnapshotWriter,
    number: u64,
    delta: &str,
    base: Option<(u64, &str)>,
) {
    let id = CheckpointId(number);
    let states = vec![
        sealed_state("total", number, delta, base),
        sealed_state("count", number, "n", None),
    ];
    let snapshot = writer
        .write(id, &[sealed_operator("sum", states)])
        .await
        .unwrap();
    fixture.store.begin(id).await.unwrap();
    fixture.commit(number, vec![snapshot]).await;
}

/// The bytes of both states, one after the other.
fn content(loaded: &LoadedCheckpoint) -> String {
    let plan = loaded.restore_plan(&"sum".into(), 0, 1, MAX_PARALLELISM, false);
    let states = plan.unwrap().unwrap().states;
    let parts = states.iter().flat_map(|state| state.parts.fetch().unwrap());
    let pieces = parts.flat_map(|part| part.base.into_iter().chain(part.deltas));
    let bytes: Vec<u8> = pieces.flatten().collect();
    String::from_utf8(bytes).unwrap()
}

fn flip_byte(fixture: &StoreFixture, file: &str, position: usize) {
    let mut content = fs::read(fixture.path(file)).unwrap();
    content[position] ^= 0x10;
    fs::write(fixture.path(file), content).unwrap();
}

fn truncate(fixture: &StoreFixture, file: &str, length: usize) {
    let content = fs::read(fixture.path(file)).unwrap();
    fs::write(fixture.path(file), &content[..length]).unwrap();
}

/// After the damage to checkpoint 3 it is named with this text, and checkpoint 2 is used, whole.
fn check(damage: impl FnOnce(&StoreFixture), expected: &str) {
    let fixture = three_checkpoints();
    damage(&fixture);
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    let [damaged] = &recovery.damaged[..] else {
        panic!("{expected}: found {:?}", recovery.damaged);
    };
    assert_eq!(damaged.checkpoint, CheckpointId(3), "{expected}");
    assert!(damaged.folder.ends_with("job/chk-3"), "{}", damaged.folder);
    let message = damaged.damage.to_string();
    assert!(message.contains(expected), "{expected}: {message}");
    let loaded = recovery.checkpoint.as_ref().unwrap();
    assert_eq!(loaded.manifest().checkpoint, CheckpointId(2), "{expected}");
    assert_eq!(content(loaded), "nnone two ", "{expected}");
    assert_eq!(recovery.next_id(), CheckpointId(4), "{expected}");
    let usable: Vec<bool> = recovery.found.iter().map(|found| found.usable).collect();
    assert_eq!(usable, [true, true, false], "{expected}");
}

#[test]
fn the_newest_checkpoint_is_used_when_nothing_is_wrong() {
    let fixture = three_checkpoints();
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    assert_eq!(recovery.damaged, []);
    let loaded = recovery.checkpoint.unwrap();
    assert_eq!(loaded.manifest().checkpoint, CheckpointId(3));
    assert_eq!(content(&loaded), "nnnbase three ");
}

#[test]
fn every_damage_is_named_and_the_checkpoint_before_it_is_used() {
    let manifest_length = fs::read(three_checkpoints().path(THIRD_MANIFEST))
        .unwrap()
        .len();
    check(
        |fixture| flip_byte(fixture, THIRD_MANIFEST, 600),
        "its manifest",
    );
    check(
        |fixture| truncate(fixture, THIRD_MANIFEST, 0),
        "its manifest is empty",
    );
    check(
        |fixture| truncate(fixture, THIRD_MANIFEST, manifest_length / 2),
        "its manifest is cut off",
    );
    check(
        |fixture| flip_byte(fixture, THIRD_DELTA, 2),
        "shared/3-sum-0-0000000000000abc-0.delta is damaged",
    );
    check(
        |fixture| flip_byte(fixture, THIRD_BASE, 0),
        "shared/3-sum-0-0000000000000abc-0.base is damaged",
    );
    check(
        |fixture| truncate(fixture, THIRD_DELTA, 6),
        "3-sum-0-0000000000000abc-0.delta is cut off: it has 6 bytes of 7",
    );
    check(
        |fixture| fs::remove_file(fixture.path(THIRD_BASE)).unwrap(),
        "shared/3-sum-0-0000000000000abc-0.base is missing",
    );
    check(
        |fixture| {
            drop(fs::copy(
                fixture.path("chk-2/manifest.json"),
                fixture.path(THIRD_MANIFEST),
            ))
        },
        "it is the one of checkpoint 2 of job job",
    );
}

#[test]
fn a_checkpoint_without_a_manifest_is_passed_over_quietly_and_its_id_is_not_used_again() {
    let fixture = three_checkpoints();
    block_on(async {
        fixture.store.begin(CheckpointId(7)).await.unwrap();
        let recovery = fixture.store.load_newest_valid().await.unwrap();
        assert_eq!(recovery.damaged, []);
        let loaded = recovery.checkpoint.as_ref().unwrap();
        assert_eq!(loaded.manifest().checkpoint, CheckpointId(3));
        assert_eq!(recovery.next_id(), CheckpointId(8));
        // An object is a trace of its checkpoint as well.
        fs::write(fixture.path("shared/11-sum-0-1-0.delta"), "").unwrap();
        let recovery = fixture.store.load_newest_valid().await.unwrap();
        assert_eq!(recovery.next_id(), CheckpointId(12));
    });
}

#[test]
fn an_empty_store_is_a_fresh_start() {
    let fixture = StoreFixture::new();
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    assert!(recovery.checkpoint.is_none());
    assert_eq!(recovery.next_id(), CheckpointId(1));
}

#[test]
fn when_all_are_damaged_the_error_names_each_and_the_way_out() {
    let fixture = three_checkpoints();
    flip_byte(&fixture, THIRD_BASE, 0);
    fs::remove_file(fixture.path(FIRST_DELTA)).unwrap();
    let error = block_on(fixture.store.load_newest_valid()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let message = error.to_string();
    for part in [
        "checkpoint 1 in",
        "chk-1: ",
        "checkpoint 2 in",
        "checkpoint 3 in",
        "--fresh",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let recovery = block_on(fixture.store.start_fresh()).unwrap();
    assert!(recovery.checkpoint.is_none());
    assert_eq!(recovery.next_id(), CheckpointId(4));
}

#[test]
fn a_checkpoint_of_a_later_format_is_not_passed_over() {
    let fixture = three_checkpoints();
    let text = r#"{"format_version": 2}"#;
    let checksum = Checksum::of(text.as_bytes());
    let content = format!("{{\"checksum\": \"{checksum}\", \"manifest\": {text}}}");
    fs::write(fixture.path(THIRD_MANIFEST), content).unwrap();
    let error = block_on(fixture.store.load_newest_valid()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("format version 2"), "{error}");
}

/// A folder lies where the manifest should: the store cannot read it, whoever the user is.
#[test]
fn a_checkpoint_that_the_store_will_not_hand_out_is_not_passed_over() {
    let fixture = three_checkpoints();
    fs::remove_file(fixture.path(THIRD_MANIFEST)).unwrap();
    fs::create_dir(fixture.path(THIRD_MANIFEST)).unwrap();
    let error = block_on(fixture.store.load_newest_valid()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.to_string().contains("chk-3"), "{error}");
}

#[test]
fn a_second_commit_of_one_checkpoint_is_a_conflict() {
    let fixture = three_checkpoints();
    let manifest = block_on(fixture.store.manifest(CheckpointId(3))).unwrap();
    let error = block_on(fixture.store.commit(&manifest)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("chk-3/manifest.json"), "{error}");
}

#[test]
fn the_list_has_figures_or_the_reason_for_every_checkpoint() {
    let fixture = three_checkpoints();
    block_on(async {
        fixture.store.begin(CheckpointId(4)).await.unwrap();
        fs::remove_file(fixture.path(FIRST_DELTA)).unwrap();
        let listed = fixture.store.list().await.unwrap();
        let missing = Damage::MissingObject {
            object: ObjectName::from_file_name("1-sum-0-0000000000000abc-0.delta").unwrap(),
        };
        // The deltas of the other state go back to the first checkpoint, so all three need its object.
        let reasons: Vec<_> = listed
            .iter()
            .map(|listed| listed.summary.clone().err())
            .collect();
        let missing = Some(missing);
        assert_eq!(
            reasons,
            [
                missing.clone(),
                missing.clone(),
                missing,
                Some(Damage::Incomplete)
            ]
        );
    });
    let listed = block_on(three_checkpoints().store.list()).unwrap();
    let figures: Vec<_> = listed
        .into_iter()
        .map(|listed| listed.summary.unwrap())
        .map(|summary| (summary.uploaded_bytes, summary.referred_bytes))
        .collect();
    assert_eq!(figures, [(5, 5), (5, 10), (12, 14)]);
}
