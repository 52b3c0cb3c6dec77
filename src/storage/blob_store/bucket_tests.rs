//! The store on a simulated bucket, which loses answers and delivers requests late.

use futures_util::future::join_all;

use super::*;
use crate::config::{ConditionalPut, S3Section};
use crate::error::{Error, ErrorKind};
use crate::model::CheckpointId;
use crate::storage::{SimulatedBucket, StoragePaths};

/// How many buckets are tried.
const SEEDS: u64 = 500;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

fn manifest() -> BlobPath {
    let paths = StoragePaths::new("job").unwrap();
    paths.manifest(CheckpointId(1))
}

#[test]
fn of_several_that_create_an_object_one_succeeds_and_none_is_wrong_about_it() {
    let path = manifest();
    let (mut created, mut taken, mut unknown) = (0, 0, 0);
    for seed in 0..SEEDS {
        let bucket = SimulatedBucket::new(seed, 3);
        let store = bucket.store();
        let attempts = ["first", "second", "third"].map(|content| {
            let (store, path) = (&store, &path);
            async move { (content, store.create(path, content.into()).await) }
        });
        let outcomes = block_on(join_all(attempts));
        bucket.calm();
        let found = block_on(store.read(&path));
        for (content, outcome) in outcomes {
            let is_there = found.as_ref().is_ok_and(|found| found == content);
            match outcome {
                Ok(()) => {
                    assert!(is_there, "seed {seed}: {content} is not there");
                    created += 1;
                }
                Err(StorageError::AlreadyExists { .. }) => {
                    assert!(!is_there, "seed {seed}: {content} is there after all");
                    taken += 1;
                }
                // It may be there or not.
                Err(_) => unknown += 1,
            }
        }
    }
    let counts = format!("{created} created, {taken} taken, {unknown} unknown");
    assert!(
        created > SEEDS / 2 && taken > SEEDS / 2 && unknown > 0,
        "{counts}"
    );
}

#[test]
fn a_bucket_that_ignores_conditions_is_refused_or_the_user_answers_for_it() {
    let bucket = SimulatedBucket::new(0, 0);
    let (store, path) = (bucket.store(), manifest());
    block_on(store.prove_conditional_put(&path)).unwrap();
    bucket.ignore_conditions();
    let error = block_on(store.prove_conditional_put(&path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("conditional_put"), "{error}");

    let section = S3Section {
        conditional_put: ConditionalPut::AssumeSingleOwner,
        ..S3Section::default()
    };
    let store = bucket.store_with(&section);
    block_on(async {
        store.prove_conditional_put(&path).await.unwrap();
        // As well as can be: it looks before it writes.
        let error = store.create(&path, "second".into()).await.unwrap_err();
        assert!(
            matches!(error, StorageError::AlreadyExists { .. }),
            "{error}"
        );
    });
}

#[test]
fn objects_of_a_bucket_are_written_copied_moved_and_deleted() {
    let bucket = SimulatedBucket::new(0, 0);
    let store = bucket.store();
    let paths = StoragePaths::new("job").unwrap();
    let path = |name: &str| paths.file(&paths.shared_folder(), name);
    block_on(async {
        let sections = vec![vec!["one".into(), "two".into()], vec!["three".into()]];
        let stored = store.put(&path("a"), &sections).await.unwrap();
        let (from, to) = (path("a"), path("b"));
        let copied = store.copy(&to, &store, &from, &stored[1..]).await;
        assert_eq!(copied.unwrap()[0].offset, 0);
        assert_eq!(store.read(&path("b")).await.unwrap(), "three");
        store.rename(&path("b"), &path("c")).await.unwrap();
        let listed = store.list(&paths.shared_folder()).await.unwrap();
        let names: Vec<_> = listed.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        let folder = paths.checkpoint_folder(CheckpointId(1));
        let mark = manifest();
        assert!(store.take_folder(&folder, &mark, "first").await.unwrap());
        assert!(!store.take_folder(&folder, &mark, "second").await.unwrap());
        let missing = store.copy(&path("d"), &store, &path("gone"), &stored).await;
        assert!(matches!(missing, Err(StorageError::NotFound { .. })));
        assert_eq!(Error::from(missing.unwrap_err()).kind(), ErrorKind::Corrupt);
        let all = [path("a"), path("c"), path("gone"), mark];
        store.delete_all(&all).await.unwrap();
        assert_eq!(bucket.paths(), [""; 0]);
    });
}
