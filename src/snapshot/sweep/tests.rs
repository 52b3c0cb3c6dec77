//! What a crash leaves behind, on a real folder.

use std::fs;

use super::*;
use crate::snapshot::Retention;
use crate::snapshot::test_support::{StoreFixture, block_on, sealed_operator, sealed_state};

const FIRST_DELTA: &str = "shared/1-sum-0-0000000000000abc-0.delta";
const THIRD_DELTA: &str = "shared/3-sum-0-0000000000000abc-0.delta";

/// Checkpoint 1 is complete; 2 was aborted, and its object went into 3; 4 and 5 were cut short by a crash.
fn after_a_crash() -> StoreFixture {
    let fixture = StoreFixture::new();
    let mut writer = fixture.writer(0, 1);
    block_on(async {
        for number in 1..=5 {
            let id = CheckpointId(number);
            fixture.store.begin(id).await.unwrap();
            let state = sealed_state("total", number, "delta", None);
            let sealed = sealed_operator("sum", vec![state]);
            let snapshot = writer.write(id, &[sealed]).await.unwrap();
            if number == 1 || number == 3 {
                fixture.commit(number, vec![snapshot]).await;
            }
        }
    });
    fixture
}

#[test]
fn only_what_no_manifest_refers_to_is_swept_up() {
    let fixture = after_a_crash();
    let sweep = block_on(fixture.store.sweep_orphans(Some(CheckpointId(3))));
    assert_eq!(
        sweep,
        Sweep {
            objects: 2,
            folders: 1
        }
    );
    assert_eq!(
        fixture.files(),
        [
            "chk-1/manifest.json",
            "chk-3/manifest.json",
            FIRST_DELTA,
            "shared/2-sum-0-0000000000000abc-0.delta",
            THIRD_DELTA,
        ]
    );
    assert!(!fixture.path("chk-2").exists());
    let recovery = block_on(fixture.store.load_newest_valid()).unwrap();
    assert_eq!(recovery.next_id(), CheckpointId(6));
}

#[test]
fn no_object_is_swept_up_while_a_manifest_cannot_be_read() {
    let fixture = after_a_crash();
    fs::write(fixture.path("chk-1/manifest.json"), "{").unwrap();
    let before = fixture.files();
    let sweep = block_on(fixture.store.sweep_orphans(Some(CheckpointId(3))));
    assert_eq!(
        sweep,
        Sweep {
            objects: 0,
            folders: 1
        }
    );
    assert_eq!(fixture.files(), before);
}

#[test]
fn what_retention_gives_up_is_deleted_with_its_folder() {
    let fixture = after_a_crash();
    block_on(async {
        let recovery = fixture.store.load_newest_valid().await.unwrap();
        let mut retention = Retention::new(1, recovery.found);
        let manifest = fixture.store.manifest(CheckpointId(3)).await.unwrap();
        let mut objects = manifest.objects();
        // The next checkpoint needs the last delta alone.
        objects.retain(|object| object.as_str() == THIRD_DELTA);
        let removal = retention.completed(CheckpointId(6), objects);
        // Doing it twice does no harm.
        for _ in 0..2 {
            let left = fixture.store.remove(removal.clone()).await;
            assert!(left.is_empty(), "{left:?}");
        }
    });
    let files = fixture.files();
    assert!(files.contains(&THIRD_DELTA.to_owned()), "{files:?}");
    assert!(!files.contains(&FIRST_DELTA.to_owned()), "{files:?}");
    for number in 1..=5 {
        assert!(!fixture.path(&format!("chk-{number}")).exists(), "{number}");
    }
}

/// A manifest that cannot be read keeps its objects, because it might be mended. Nobody knew of them when it was deleted.
#[test]
fn the_objects_of_a_damaged_manifest_go_with_it() {
    let fixture = after_a_crash();
    fs::write(fixture.path("chk-3/manifest.json"), "{").unwrap();
    block_on(async {
        let recovery = fixture.store.load_newest_valid().await.unwrap();
        fixture.store.sweep_orphans(Some(CheckpointId(1))).await;
        let mut retention = Retention::new(1, recovery.found);
        let removal = retention.completed(CheckpointId(6), BTreeSet::new());
        fixture.store.remove(removal).await;
    });
    // What was stored after it is left to the next start.
    let files = fixture.files();
    assert!(
        files
            .iter()
            .all(|file| file.contains("shared/4-") || file.contains("shared/5-")),
        "{files:?}"
    );
    assert_eq!(files.len(), 2, "{files:?}");
}
