//! The store on a real folder, and on the simulated disk, which must behave like one.

use std::fs;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::model::{CheckpointId, SubtaskId};
use crate::storage::{Fault, ObjectKind, ObjectName, SimulatedDisk, StoragePaths};

struct Fixture {
    folder: tempfile::TempDir,
    store: BlobStore,
    paths: StoragePaths,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::parse("store", folder.path()).unwrap();
        Self {
            store: BlobStore::open(&location).unwrap(),
            paths: StoragePaths::new("job").unwrap(),
            folder,
        }
    }

    /// One on a real folder, and one on the simulated disk.
    fn both() -> [Self; 2] {
        let simulated = Self {
            store: SimulatedDisk::default().store(),
            ..Self::new()
        };
        [Self::new(), simulated]
    }

    /// A file with this content.
    async fn write(&self, path: &BlobPath, content: &'static str) {
        let chunk = Bytes::from(content);
        self.store.put(path, &[vec![chunk]]).await.unwrap();
    }

    fn object(&self) -> BlobPath {
        let subtask = SubtaskId::new("sum".into(), 0);
        let name = ObjectName::new(CheckpointId(1), &subtask, 1, 0, ObjectKind::Delta);
        self.paths.object(&name)
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn sections_come_back_with_their_offsets_and_checksums() {
    for fixture in Fixture::both() {
        let path = fixture.object();
        let chunk = |byte: u8, length: usize| Bytes::from(vec![byte; length]);
        // The second section is larger than a step.
        let sections = [
            vec![chunk(1, 10), chunk(2, 20)],
            vec![chunk(3, 5 << 20), chunk(4, 5 << 20)],
            vec![],
            vec![chunk(5, 7)],
        ];
        block_on(async {
            let stored = fixture.store.put(&path, &sections).await.unwrap();
            let whole: Vec<u8> = sections.concat().concat();
            assert_eq!(
                fixture.store.length(&path).await.unwrap(),
                whole.len() as u64
            );
            assert_eq!(fixture.store.read(&path).await.unwrap(), whole);
            for (section, stored) in sections.iter().zip(&stored) {
                let bytes = section.concat();
                assert_eq!(stored.length, bytes.len() as u64);
                assert_eq!(stored.checksum, Checksum::of(&bytes));
                let read = fixture
                    .store
                    .read_range(&path, stored.offset, stored.length);
                assert_eq!(read.await.unwrap(), bytes);
            }
            fixture
                .store
                .sync_folder(&fixture.paths.shared_folder())
                .await
                .unwrap();
        });
    }
}

/// An empty chunk in front of others, handed to the writer of files, is written for ever.
#[test]
fn chunks_and_sections_can_be_empty() {
    for fixture in Fixture::both() {
        let path = fixture.object();
        block_on(async {
            let chunks =
                |texts: &[&'static str]| texts.iter().map(|text| Bytes::from(*text)).collect();
            let sections: Vec<Vec<Bytes>> = vec![
                chunks(&["", "one", "", "two"]),
                chunks(&[]),
                chunks(&[""]),
                chunks(&["", "", "3"]),
            ];
            let stored = fixture.store.put(&path, &sections).await.unwrap();
            let places: Vec<_> = stored
                .iter()
                .map(|section| (section.offset, section.length))
                .collect();
            assert_eq!(places, [(0, 6), (6, 0), (6, 0), (6, 1)]);
            assert_eq!(fixture.store.read(&path).await.unwrap(), "onetwo3");
        });
    }
}

#[test]
fn a_second_creation_is_refused_and_the_first_content_stays() {
    for fixture in Fixture::both() {
        let path = fixture.paths.manifest(CheckpointId(1));
        block_on(async {
            let store = &fixture.store;
            let pending = fixture.paths.pending_manifest(CheckpointId(1), 1);
            let create = async |content: &'static str| {
                store.put(&pending, &[vec![content.into()]]).await?;
                store.name_if_absent(&path, &pending).await
            };
            create("first").await.unwrap();
            let folder = fixture.paths.checkpoint_folder(CheckpointId(1));
            for _ in 0..2 {
                let error = create("second").await.unwrap_err();
                let is_taken = matches!(error, StorageError::AlreadyExists { .. });
                assert!(is_taken, "{error}");
                assert!(error.to_string().contains("manifest.json"), "{error}");
                assert_eq!(store.list(&folder).await.unwrap().len(), 1);
            }
            assert_eq!(store.read(&path).await.unwrap(), "first");

            // Another process is about to create the file.
            store.delete(&path).await.unwrap();
            fixture.write(&pending, "other").await;
            let error = create("third").await.unwrap_err();
            let is_taken = matches!(error, StorageError::AlreadyExists { .. });
            assert!(is_taken, "{error}");
            assert_eq!(store.read(&pending).await.unwrap(), "other");
        });
    }
}

#[test]
fn what_is_not_there_is_named_and_deleting_it_twice_is_fine() {
    for fixture in Fixture::both() {
        let path = fixture.object();
        block_on(async {
            let store = &fixture.store;
            let error = store.read(&path).await.unwrap_err();
            assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
            assert!(error.to_string().contains("job/shared/1-sum-0"), "{error}");
            let error = store.length(&path).await.unwrap_err();
            assert!(matches!(error, StorageError::NotFound { .. }), "{error}");

            fixture.write(&path, "content").await;
            store.delete(&path).await.unwrap();
            store.delete(&path).await.unwrap();
            store
                .delete_folder(&fixture.paths.shared_folder())
                .await
                .unwrap();
            store
                .delete_folder(&fixture.paths.shared_folder())
                .await
                .unwrap();
            assert_eq!(store.list(&fixture.paths.job_folder()).await.unwrap(), []);
        });
    }
}

#[test]
fn a_range_beyond_the_end_is_an_error() {
    for fixture in Fixture::both() {
        let path = fixture.object();
        block_on(async {
            fixture.write(&path, "0123456789").await;
            assert_eq!(
                fixture.store.read_range(&path, 4, 6).await.unwrap(),
                "456789"
            );
            assert!(fixture.store.read_range(&path, 4, 7).await.is_err());
        });
    }
}

#[test]
fn a_folder_lists_its_own_entries_only() {
    for fixture in Fixture::both() {
        block_on(async {
            let (store, paths) = (&fixture.store, &fixture.paths);
            assert_eq!(store.list(&paths.job_folder()).await.unwrap(), []);
            store.create_folder(&paths.shared_folder()).await.unwrap();
            fixture.write(&paths.manifest(CheckpointId(2)), "{}").await;
            let names = |entries: Vec<FolderEntry>| -> Vec<(String, bool)> {
                entries
                    .into_iter()
                    .map(|entry| (entry.name, entry.is_folder))
                    .collect()
            };
            let entries = store.list(&paths.job_folder()).await.unwrap();
            assert_eq!(
                names(entries),
                [("chk-2".into(), true), ("shared".into(), true)]
            );
            let entries = store
                .list(&paths.checkpoint_folder(CheckpointId(2)))
                .await
                .unwrap();
            assert_eq!(names(entries), [("manifest.json".into(), false)]);
        });
    }
}

#[test]
fn a_root_below_a_regular_file_is_an_environment_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for storage in ["file", "file/store"] {
        let location = StoreLocation::parse(storage, folder.path()).unwrap();
        let error = BlobStore::open(&location).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment, "{storage}");
        let root = location.to_string();
        assert!(error.to_string().contains(&root), "{error}");
    }
}

/// The job's folder is a regular file, so nothing can be written below it, whoever the user is.
#[test]
fn a_write_that_fails_is_an_environment_error_that_names_the_path_and_leaves_nothing() {
    let fixture = Fixture::new();
    fs::write(fixture.folder.path().join("store/job"), "").unwrap();
    block_on(async {
        let path = fixture.object();
        let error = fixture
            .store
            .put(&path, &[vec!["bytes".into()]])
            .await
            .unwrap_err();
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(
            error.to_string().contains("store/job/shared/1-sum-0"),
            "{error}"
        );
        let error = fixture
            .store
            .create_folder(&fixture.paths.shared_folder())
            .await;
        assert_eq!(
            Error::from(error.unwrap_err()).kind(),
            ErrorKind::Environment
        );
    });
}

/// A sync that failed was tried again on the same file. The system had given up the bytes with the first failure, and
/// said that the second sync was fine: a checkpoint was complete whose bytes were not on the disk.
#[test]
fn an_object_whose_sync_failed_is_written_anew() {
    let fixture = Fixture::new();
    let (path, folder) = (fixture.object(), fixture.paths.shared_folder());
    // Puts an object, of whose steps this one fails; gives the number of steps.
    let put = async |failing: Option<(usize, Fault)>| {
        let disk = SimulatedDisk::default();
        let store = disk.stubborn_store();
        store.create_folder(&folder).await.unwrap();
        let before = disk.steps();
        if let Some((step, fault)) = failing {
            disk.fail([before + step], fault);
        }
        let put = store.put(&path, &[vec!["0123456789".into()]]).await;
        put.unwrap();
        let steps = disk.steps() - before;
        store.sync_folder(&folder).await.unwrap();
        for seed in 0..20 {
            let disk = disk.after_power_cut(&mut fastrand::Rng::with_seed(seed));
            let read = disk.store().read(&path).await;
            assert_eq!(read.unwrap(), "0123456789", "{failing:?}, seed {seed}");
        }
        steps
    };
    block_on(async {
        for step in 0..put(None).await {
            for fault in [Fault::Undone, Fault::Done, Fault::Torn] {
                put(Some((step, fault))).await;
            }
        }
    });
}

#[test]
fn an_object_that_cannot_be_written_leaves_nothing_and_is_not_tried_for_ever() {
    let fixture = Fixture::new();
    let path = fixture.object();
    block_on(async {
        let disk = SimulatedDisk::default();
        let store = disk.stubborn_store();
        store
            .create_folder(&fixture.paths.shared_folder())
            .await
            .unwrap();
        disk.leave_room(Some(5));
        let error = store.put(&path, &[vec!["0123456789".into()]]).await;
        let message = Error::from(error.unwrap_err()).full_message();
        assert!(message.contains("No space left on device"), "{message}");
        assert!(message.contains("job/shared/1-sum-0"), "{message}");
        assert_eq!(disk.paths(), ["job/", "job/shared/"]);
        disk.leave_room(None);
        store
            .put(&path, &[vec!["0123456789".into()]])
            .await
            .unwrap();
    });
}
