use super::*;
use crate::snapshot::test_support::{
    StoreFixture, block_on, key_groups, manifest_of, sealed_operator, sealed_state,
};
use crate::snapshot::writer::SnapshotWriter;
use crate::storage::{SimulatedDisk, StoreLocation};

const NONCE: u64 = 0xdef;

/// A job with checkpoint 5 of two operators, and a savepoint of it. Gives the savepoint's folder.
async fn savepoint(fixture: &StoreFixture) -> String {
    let id = CheckpointId(5);
    let sealed = ["sum", "other"].map(|operator| {
        let state = sealed_state("sums", 1, operator, None);
        sealed_operator(operator, vec![state])
    });
    fixture.store.begin(id).await.unwrap();
    let snapshot = fixture.writer(0, 1).write(id, &sealed).await.unwrap();
    let manifest = manifest_of(5, vec![snapshot]);
    fixture.store.commit(&manifest).await.unwrap();
    let directory = fixture.folder.path().join("savepoints");
    let written = fixture
        .store
        .write_savepoint(&manifest, &StoreLocation::of_folder(&directory))
        .await;
    written.unwrap().folder.to_string()
}

/// The store of another job, which has no checkpoint yet.
async fn another_job(fixture: &StoreFixture) -> CheckpointStore {
    let location = StoreLocation::parse("elsewhere", fixture.folder.path()).unwrap();
    let store = CheckpointStore::open(&location, "another").unwrap();
    store.prepare().await.unwrap();
    store
}

/// Has the store take the snapshot in this folder over, with all its operators.
async fn take_over(store: &CheckpointStore, path: &str, mode: ClaimMode) -> Result<CheckpointId> {
    let source = open(path).await;
    store.take_over(&source, mode, |_| true, NONCE).await
}

/// The manifest of the newest checkpoint that can be loaded.
async fn newest_manifest(store: &CheckpointStore) -> Manifest {
    let recovery = store.load_newest_valid().await.unwrap();
    recovery.checkpoint.unwrap().manifest().clone()
}

async fn open(path: &str) -> SnapshotAt {
    SnapshotAt::open(path, Path::new("/")).await.unwrap()
}

#[test]
fn a_job_goes_on_from_its_own_copy_and_what_it_was_started_from_is_not_needed_any_more() {
    let fixture = StoreFixture::new();
    block_on(async {
        let path = savepoint(&fixture).await;
        let store = another_job(&fixture).await;
        let taken = take_over(&store, &path, ClaimMode::NoClaim).await;
        assert_eq!(taken.unwrap(), CheckpointId(5), "ids go on where they were");
        std::fs::remove_dir_all(&path).unwrap();
        let recovery = store.load_newest_valid().await.unwrap();
        assert_eq!(recovery.next_id(), CheckpointId(6));
        let loaded = recovery.checkpoint.unwrap();
        let manifest = loaded.manifest();
        assert_eq!(
            (manifest.job.as_str(), manifest.kind),
            ("another", SnapshotKind::Checkpoint)
        );
        let bytes: Vec<_> = manifest.pieces().map(|piece| loaded.bytes(piece)).collect();
        assert_eq!(bytes, ["other", "sum"]);
        let started = manifest.started_from.clone().unwrap();
        assert_eq!((started.path, started.claimed), (path, false));
        assert_eq!(store.sweep_orphans(Some(CheckpointId(5))).await.objects, 0);
    });
}

#[test]
fn an_id_that_the_job_has_used_is_not_used_again() {
    let fixture = StoreFixture::new();
    block_on(async {
        let path = savepoint(&fixture).await;
        let store = another_job(&fixture).await;
        store.begin(CheckpointId(9)).await.unwrap();
        let taken = take_over(&store, &path, ClaimMode::NoClaim).await;
        assert_eq!(taken.unwrap(), CheckpointId(10));
        assert_eq!(newest_manifest(&store).await.checkpoint, CheckpointId(10));
    });
}

#[test]
fn operators_that_are_not_kept_stay_behind() {
    let fixture = StoreFixture::new();
    block_on(async {
        let path = savepoint(&fixture).await;
        let store = another_job(&fixture).await;
        let source = open(&path).await;
        let kept = |id: &OperatorId| id.as_str() == "sum";
        store
            .take_over(&source, ClaimMode::NoClaim, kept, NONCE)
            .await
            .unwrap();
        let manifest = newest_manifest(&store).await;
        let operators: Vec<_> = manifest.operators.keys().cloned().collect();
        assert_eq!(operators, ["sum".into()]);
    });
}

#[test]
fn a_claimed_savepoint_is_disposed_of_unless_another_lies_in_its_place() {
    let fixture = StoreFixture::new();
    block_on(async {
        let path = savepoint(&fixture).await;
        let store = another_job(&fixture).await;
        take_over(&store, &path, ClaimMode::Claim).await.unwrap();
        let started = newest_manifest(&store).await.started_from.unwrap();
        let of_another = StartedFrom {
            completed_unix_millis: 1,
            ..started.clone()
        };
        store.dispose_claimed(&of_another).await;
        assert!(Path::new(&path).exists());
        store.dispose_claimed(&started).await;
        assert!(!Path::new(&path).exists());
        store.dispose_claimed(&started).await;
    });
}

/// The manifest used to go first, so that nobody knew any more what a disposal that was cut short had left behind.
#[test]
fn the_disposal_of_a_claimed_savepoint_is_taken_up_wherever_it_was_cut_short() {
    let mut steps = 1;
    while !is_disposed_of_after(steps) {
        steps += 1;
    }
    assert!(steps > 5, "only {steps} steps");
}

/// Cuts a disposal short after so many steps of the disk, and lets the next start take it up. Whether it was complete.
fn is_disposed_of_after(steps: usize) -> bool {
    let disk = SimulatedDisk::default();
    block_on(async {
        let store = CheckpointStore::on(&disk);
        let subtask = SubtaskId::new("sum".into(), 0);
        let mut writer = SnapshotWriter::new(store.clone(), subtask, key_groups(0, 128), NONCE);
        let state = sealed_state("sums", 1, "delta", None);
        let sealed = [sealed_operator("sum", vec![state])];
        store.begin(CheckpointId(5)).await.unwrap();
        let part = writer.write(CheckpointId(5), &sealed).await.unwrap();
        let manifest = manifest_of(5, vec![part]);
        let directory = StoreLocation::of_folder("/simulated/savepoints");
        let written = store.write_savepoint(&manifest, &directory).await.unwrap();
        let started = StartedFrom {
            path: written.folder.to_string(),
            kind: SnapshotKind::Savepoint,
            checkpoint: manifest.checkpoint,
            completed_unix_millis: manifest.completed_unix_millis,
            taken_over_as: CheckpointId(6),
            claimed: true,
        };
        disk.stop_before(disk.steps() + steps);
        store.dispose_claimed(&started).await;
        let after = disk.after_kill();
        CheckpointStore::on(&after).dispose_claimed(&started).await;
        let paths = after.paths();
        let left: Vec<_> = paths
            .iter()
            .filter(|path| path.contains("savepoint-"))
            .collect();
        assert!(left.is_empty(), "after {steps} steps: {left:?}");
        !disk.has_stopped()
    })
}

#[test]
fn a_checkpoint_can_be_started_from_and_not_be_claimed() {
    let fixture = StoreFixture::new();
    block_on(async {
        savepoint(&fixture).await;
        let store = another_job(&fixture).await;
        let path = fixture.path("chk-5").display().to_string();
        let claimed = take_over(&store, &path, ClaimMode::Claim).await;
        let error = claimed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error.to_string().contains("--claim-mode no-claim"),
            "{error}"
        );
        take_over(&store, &path, ClaimMode::NoClaim).await.unwrap();
        assert!(fixture.path("chk-5/manifest.json").exists());
        newest_manifest(&store).await;
    });
}

#[test]
fn a_damaged_snapshot_is_not_taken_over() {
    let fixture = StoreFixture::new();
    block_on(async {
        let path = savepoint(&fixture).await;
        let source = open(&path).await;
        let object = source.manifest().pieces().next().unwrap().object.clone();
        let file = Path::new(&path).join(object.as_str());
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let store = another_job(&fixture).await;
        let taken = take_over(&store, &path, ClaimMode::NoClaim).await;
        let error = taken.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&path), "{error}");
        let recovery = store.load_newest_valid().await.unwrap();
        assert!(recovery.checkpoint.is_none());
    });
}
