use super::*;
use crate::model::CheckpointId;
use crate::snapshot::test_support::{StoreFixture, block_on, sealed_operator, sealed_state};

/// A store with checkpoint 3, which shares an object with nobody.
fn one_checkpoint() -> StoreFixture {
    let fixture = StoreFixture::new();
    block_on(async {
        let state = sealed_state("sums", 1, "delta", None);
        let mut writer = fixture.writer(0, 1);
        let sealed = [sealed_operator("sum", vec![state])];
        let snapshot = writer.write(CheckpointId(3), &sealed).await.unwrap();
        fixture.commit(3, vec![snapshot]).await;
    });
    fixture
}

fn open(fixture: &StoreFixture, path: &str) -> Result<SnapshotAt> {
    block_on(SnapshotAt::open(path, &fixture.path("")))
}

#[test]
fn a_checkpoint_is_opened_by_its_folder_and_by_its_manifest() {
    let fixture = one_checkpoint();
    for path in ["chk-3", "chk-3/manifest.json"] {
        let snapshot = open(&fixture, path).unwrap();
        assert_eq!(snapshot.manifest().checkpoint, CheckpointId(3));
        assert_eq!(snapshot.folder().folder(), Some(&*fixture.path("chk-3")));
        let loaded = block_on(snapshot.load()).unwrap();
        let piece = snapshot.manifest().pieces().next().unwrap();
        assert_eq!(loaded.bytes(piece), "delta");
        let summary = block_on(snapshot.summary()).unwrap();
        assert_eq!(summary.referred_bytes, 5);
    }
}

#[test]
fn a_checkpoint_that_was_moved_is_refused_with_what_can_be_moved() {
    let fixture = one_checkpoint();
    std::fs::rename(fixture.path("chk-3"), fixture.path("kept")).unwrap();
    let error = open(&fixture, "kept").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("take a savepoint"), "{error}");
}

#[test]
fn a_snapshot_that_lacks_an_object_is_opened_and_cannot_be_loaded() {
    let fixture = one_checkpoint();
    std::fs::remove_dir_all(fixture.path("shared")).unwrap();
    let snapshot = open(&fixture, "chk-3").unwrap();
    let error = block_on(snapshot.load()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("is missing"), "{error}");
    let damage = block_on(snapshot.summary()).unwrap_err();
    assert!(matches!(damage, Damage::MissingObject { .. }), "{damage}");
}

#[test]
fn a_garbled_manifest_is_named_with_its_folder() {
    let fixture = one_checkpoint();
    std::fs::write(fixture.path("chk-3/manifest.json"), "{}").unwrap();
    let error = open(&fixture, "chk-3").unwrap_err();
    let folder = fixture.path("chk-3");
    assert!(
        error.to_string().contains(&folder.display().to_string()),
        "{error}"
    );
}
