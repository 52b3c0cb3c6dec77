use super::*;
use crate::snapshot::SnapshotAt;
use crate::snapshot::test_support::{
    StoreFixture, block_on, manifest_of, sealed_operator, sealed_state,
};
use crate::snapshot::writer::SnapshotWriter;
use crate::storage::SimulatedDisk;

const SAVEPOINT: CheckpointId = CheckpointId(5);

/// Checkpoint 1 is committed with a base; savepoint 5 shares it, and adds a delta. Gives the savepoint's manifest.
async fn acknowledged(store: &CheckpointStore, mut writer: SnapshotWriter) -> Manifest {
    let base = sealed_state("sums", 1, "", Some((1, "base")));
    let sealed = [sealed_operator("sum", vec![base])];
    store.begin(CheckpointId(1)).await.unwrap();
    let first = writer.write(CheckpointId(1), &sealed).await.unwrap();
    store.commit(&manifest_of(1, vec![first])).await.unwrap();
    let sealed = [sealed_operator(
        "sum",
        vec![sealed_state("sums", 2, "delta", None)],
    )];
    store.begin(SAVEPOINT).await.unwrap();
    let second = writer.write(SAVEPOINT, &sealed).await.unwrap();
    manifest_of(SAVEPOINT.0, vec![second])
}

fn on_disk(disk: &SimulatedDisk) -> (CheckpointStore, SnapshotWriter) {
    let store = CheckpointStore::on(disk);
    let range = crate::snapshot::test_support::key_groups(0, 128);
    let subtask = crate::model::SubtaskId::new("sum".into(), 0);
    let writer = SnapshotWriter::new(store.clone(), subtask, range, 0xabc);
    (store, writer)
}

/// The bytes of all pieces, in the order of the manifest.
async fn content(objects: &SnapshotObjects) -> Vec<String> {
    let (manifest, _) = objects.read_manifest().await.unwrap();
    let loaded = objects.load(&manifest, |_| true).await.unwrap();
    let bytes = |piece: &crate::snapshot::Piece| loaded[&piece.object].section(piece).unwrap();
    let text = |piece| String::from_utf8(bytes(piece).to_vec()).unwrap();
    manifest.pieces().map(text).collect()
}

#[test]
fn a_savepoint_can_be_moved_and_needs_nothing_of_the_job_that_took_it() {
    let fixture = StoreFixture::new();
    let directory = fixture.folder.path().join("savepoints");
    let written = block_on(async {
        let manifest = acknowledged(&fixture.store, fixture.writer(0, 1)).await;
        let written = fixture
            .store
            .write_savepoint(&manifest, &StoreLocation::of_folder(&directory))
            .await;
        written.unwrap()
    });
    let folder = directory.join("savepoint-job-5");
    assert_eq!(written.folder, StoreLocation::of_folder(&folder));
    assert!(!fixture.path("chk-5/savepoint.json").exists());
    std::fs::remove_dir_all(fixture.path("")).unwrap();
    let moved = fixture.folder.path().join("kept for years");
    std::fs::rename(&folder, &moved).unwrap();
    let files = std::fs::read_dir(&moved).unwrap();
    let lengths = files.map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(lengths.sum::<u64>(), written.bytes);
    block_on(async {
        let snapshot = SnapshotAt::open("kept for years", fixture.folder.path()).await;
        let snapshot = snapshot.unwrap();
        assert_eq!(snapshot.manifest().kind, SnapshotKind::Savepoint);
        assert_eq!(snapshot.manifest().uploaded_bytes, 9);
        assert_eq!(content(&snapshot.objects).await, ["base", "delta"]);
    });
}

#[test]
fn a_folder_that_is_taken_stays_and_the_savepoint_gets_a_number() {
    let fixture = StoreFixture::new();
    let directory = fixture.folder.path().join("savepoints");
    std::fs::create_dir_all(directory.join("savepoint-job-5")).unwrap();
    block_on(async {
        let manifest = acknowledged(&fixture.store, fixture.writer(0, 1)).await;
        let written = fixture
            .store
            .write_savepoint(&manifest, &StoreLocation::of_folder(&directory))
            .await;
        let folder = directory.join("savepoint-job-5-2");
        assert_eq!(written.unwrap().folder.folder(), Some(&*folder));
    });
}

#[test]
fn a_savepoint_of_damaged_state_fails_with_the_damage_and_leaves_nothing() {
    let fixture = StoreFixture::new();
    let directory = fixture.folder.path().join("savepoints");
    block_on(async {
        let manifest = acknowledged(&fixture.store, fixture.writer(0, 1)).await;
        let base = manifest.pieces().next().unwrap().object.clone();
        std::fs::write(fixture.path(base.as_str()), "bare").unwrap();
        let written = fixture
            .store
            .write_savepoint(&manifest, &StoreLocation::of_folder(&directory))
            .await;
        let error = written.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(base.as_str()), "{error}");
        fixture.store.clear_savepoint(SAVEPOINT).await.unwrap();
    });
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    assert!(!fixture.path("chk-5/savepoint.json").exists());
}

#[test]
fn a_complete_savepoint_is_not_cleared_even_if_the_note_is_still_there() {
    let fixture = StoreFixture::new();
    let directory = fixture.folder.path().join("savepoints");
    block_on(async {
        let manifest = acknowledged(&fixture.store, fixture.writer(0, 1)).await;
        let written = fixture
            .store
            .write_savepoint(&manifest, &StoreLocation::of_folder(&directory))
            .await;
        let written = written.unwrap();
        let folder = written.folder.folder().unwrap();
        let note = serde_json::json!({ "directory": directory, "folder": "savepoint-job-5" });
        std::fs::write(fixture.path("chk-5/savepoint.json"), note.to_string()).unwrap();
        fixture.store.sweep_orphans(Some(CheckpointId(1))).await;
        assert!(folder.join("manifest.json").exists());
        assert!(!fixture.path("chk-5/savepoint.json").exists());
    });
}

/// Ends the writing of a savepoint before each of its steps, and checks what the next start makes of it.
fn at_every_step(crash: impl Fn(&SimulatedDisk, usize) -> SimulatedDisk) {
    let directory = StoreLocation::of_folder("/simulated/savepoints");
    let mut complete = 0;
    for step in 0.. {
        let disk = SimulatedDisk::default();
        let (store, writer) = on_disk(&disk);
        let is_written = block_on(async {
            store.prepare().await.unwrap();
            let manifest = acknowledged(&store, writer).await;
            disk.stop_before(disk.steps() + step);
            store.write_savepoint(&manifest, &directory).await.is_ok()
        });
        let story = format!("before step {step}, after {}", disk.last_steps());
        let disk = crash(&disk, step);
        complete += usize::from(block_on(check_next_start(&disk, is_written, &story)));
        if is_written {
            assert!(step > 10, "a savepoint has only {step} steps");
            break;
        }
    }
    assert!(complete > 0, "no savepoint was ever complete");
}

/// Whether the savepoint is complete. If it is not, nothing is left of it.
async fn check_next_start(disk: &SimulatedDisk, is_written: bool, story: &str) -> bool {
    let (store, _) = on_disk(disk);
    store.prepare().await.expect(story);
    let recovery = store.load_newest_valid().await.expect(story);
    assert!(recovery.next_id() > SAVEPOINT, "{story}");
    let newest = recovery.checkpoint.expect(story).manifest().checkpoint;
    assert_eq!(newest, CheckpointId(1), "{story}");
    store.sweep_orphans(Some(newest)).await;
    let savepoint = SnapshotObjects {
        blobs: disk.store(),
        paths: SnapshotPaths::self_contained("savepoints/savepoint-job-5"),
    };
    let left = disk.paths();
    assert!(
        !left.iter().any(|path| path.ends_with("savepoint.json")),
        "{story}: {left:?}"
    );
    let in_folder = |path: &&String| path.starts_with("savepoints/savepoint-job-5");
    let is_complete = left.iter().filter(in_folder).count() > 0;
    if is_complete {
        assert_eq!(content(&savepoint).await, ["base", "delta"], "{story}");
    }
    assert!(is_complete || !is_written, "{story}: {left:?}");
    is_complete
}

#[test]
fn a_kill_at_any_step_leaves_a_whole_savepoint_or_nothing() {
    at_every_step(|disk, _| disk.after_kill());
}

#[test]
fn a_power_cut_at_any_step_leaves_a_whole_savepoint_or_nothing() {
    for outcome in 0..32 {
        at_every_step(|disk, step| {
            let mut rng = fastrand::Rng::with_seed(outcome << 32 | step as u64);
            disk.after_power_cut(&mut rng)
        });
    }
}
