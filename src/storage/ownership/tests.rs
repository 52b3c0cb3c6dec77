//! Claims as a table, and the locks.

use std::fs;

use super::{Claim, ClaimLock, Claimant, Holder, OwnerRecord};
use crate::error::ErrorKind;
use crate::storage::{BlobStore, SimulatedDisk, StoragePaths, StoreLocation};

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(future)
}

fn record(generation: u64, taken_over_at: u64) -> OwnerRecord {
    OwnerRecord {
        generation,
        process: 11,
        since_unix_millis: 5,
        taken_over_at,
    }
}

fn claimant(takes_over: bool) -> Claimant {
    Claimant {
        process: 22,
        now_unix_millis: 7,
        takes_over,
    }
}

/// What comes of a claim on a job with this owner: generation and last takeover, or that it is refused.
async fn check(
    found: Option<(u64, u64)>,
    holder: Holder,
    takes_over: bool,
    expected: Option<(u64, u64)>,
) {
    let disk = SimulatedDisk::default();
    let (store, paths) = (disk.store(), StoragePaths::new("job").unwrap());
    store.create_folder(&paths.job_folder()).await.unwrap();
    if let Some((generation, taken_over_at)) = found {
        let claim = Claim::begin(&store, &paths).await.unwrap();
        claim
            .publish(record(generation, taken_over_at))
            .await
            .unwrap();
    }
    let claim = Claim::begin(&store, &paths).await.unwrap();
    let case = format!("{found:?}, {holder:?}, {takes_over}");
    match (claim.decide(&claimant(takes_over), holder), expected) {
        (Ok(record), Some((generation, taken_over_at))) => {
            let expected = OwnerRecord {
                generation,
                process: 22,
                since_unix_millis: 7,
                taken_over_at,
            };
            assert_eq!(record, expected, "{case}");
            claim.publish(record.clone()).await.unwrap();
            let written = Claim::begin(&store, &paths).await.unwrap();
            assert_eq!(written.found(), Some(&record), "{case}");
        }
        (Err(error), None) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{case}");
            let message = error.full_message();
            assert!(message.contains("process 11 holds"), "{case}: {message}");
        }
        (found, expected) => panic!("{case}: {found:?} instead of {expected:?}"),
    }
}

#[test]
fn a_job_is_taken_from_nobody_from_the_dead_and_from_the_living_only_if_told_so() {
    block_on(async {
        use Holder::{Alive, Gone};
        for takes_over in [false, true] {
            check(None, Gone, takes_over, Some((1, 0))).await;
            check(Some((4, 0)), Gone, takes_over, Some((5, 0))).await;
            check(Some((4, 3)), Gone, takes_over, Some((5, 3))).await;
        }
        check(Some((4, 3)), Alive, false, None).await;
        check(Some((4, 3)), Alive, true, Some((5, 5))).await;
    });
}

#[test]
fn an_owner_finds_out_that_it_has_lost_the_job() {
    block_on(async {
        let disk = SimulatedDisk::default();
        let (store, paths) = (disk.store(), StoragePaths::new("job").unwrap());
        store.create_folder(&paths.job_folder()).await.unwrap();
        let first = Claim::begin(&store, &paths).await.unwrap();
        let first = first.publish(record(1, 0)).await.unwrap();
        first.check().await.unwrap();
        let second = Claim::begin(&store, &paths).await.unwrap();
        let second = second.publish(record(2, 2)).await.unwrap();
        second.check().await.unwrap();
        let error = first.check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("generation 2"), "{error}");
        store.delete(&paths.owner()).await.unwrap();
        let error = second.check().await.unwrap_err();
        assert!(error.to_string().contains("owner.json is gone"), "{error}");
    });
}

#[test]
fn a_record_that_says_nothing_is_reported_with_its_path() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let location =
            StoreLocation::parse(folder.path().to_str().unwrap(), folder.path()).unwrap();
        let store = BlobStore::open(&location).unwrap();
        fs::create_dir(folder.path().join("job")).unwrap();
        fs::write(folder.path().join("job/owner.json"), "{").unwrap();
        let paths = StoragePaths::new("job").unwrap();
        let error = Claim::begin(&store, &paths).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("job/owner.json"), "{error}");
    });
}

#[test]
fn locks_tell_who_lives() {
    let folder = tempfile::tempdir().unwrap();
    let location = StoreLocation::parse(folder.path().to_str().unwrap(), folder.path()).unwrap();
    let claim = ClaimLock::acquire(&location, "job").unwrap();
    let error = ClaimLock::acquire(&location, "job").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    ClaimLock::acquire(&location, "another").unwrap();
    assert_eq!(claim.holder(1).unwrap(), Holder::Gone);
    let first = claim.hold(1).unwrap();
    drop(claim);
    let claim = ClaimLock::acquire(&location, "job").unwrap();
    assert_eq!(claim.holder(1).unwrap(), Holder::Alive);
    let _second = claim.hold(2).unwrap();
    assert_eq!(claim.holder(2).unwrap(), Holder::Alive);
    assert!(!folder.path().join("job/lock-1").exists());
    drop(first);
    assert_eq!(claim.holder(2).unwrap(), Holder::Alive);
}
