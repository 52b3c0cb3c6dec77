//! That the disk loses what is not synced, and nothing else.

use std::collections::BTreeSet;

use super::*;

/// How many power cuts are tried. Each of the outcomes below comes up in far fewer.
const POWER_CUTS: u64 = 200;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// Everything that can be left after a power cut: each file with its content, each folder with a slash.
fn outcomes(disk: &SimulatedDisk) -> BTreeSet<Vec<String>> {
    let outcome = |seed| {
        let disk = disk.after_power_cut(&mut Rng::with_seed(seed));
        let drive = disk.lock();
        let show = |path: String| match path.ends_with('/') {
            true => path,
            false => {
                let content = drive.image.read(&path).unwrap();
                format!("{path}: {}", String::from_utf8_lossy(&content))
            }
        };
        drive.image.paths().into_iter().map(show).collect()
    };
    (0..POWER_CUTS).map(outcome).collect()
}

fn check(prepare: impl AsyncFnOnce(&SimulatedDisk), expected: &[&[&str]]) {
    let disk = SimulatedDisk::default();
    block_on(prepare(&disk));
    let expected = expected
        .iter()
        .map(|paths| paths.iter().map(|path| (*path).to_owned()).collect())
        .collect();
    assert_eq!(outcomes(&disk), expected);
}

#[test]
fn a_name_is_lost_or_not_until_its_folder_is_synced() {
    check(
        async |disk| {
            disk.create_file("a").await.unwrap();
            disk.sync_file("a").await.unwrap();
        },
        &[&[], &["a: "]],
    );
    check(
        async |disk| {
            disk.create_file("a").await.unwrap();
            disk.sync_folder("").await.unwrap();
        },
        &[&["a: "]],
    );
    check(
        async |disk| {
            disk.create_file("a").await.unwrap();
            disk.sync_folder("").await.unwrap();
            disk.remove("a").await.unwrap();
        },
        &[&[], &["a: "]],
    );
    check(
        async |disk| {
            disk.create_file("folder/a").await.unwrap();
            disk.sync_folder("folder").await.unwrap();
        },
        &[&[], &["folder/", "folder/a: "]],
    );
    check(
        async |disk| {
            disk.create_file("a").await.unwrap();
            disk.sync_folder("").await.unwrap();
            disk.rename("a", "b").await.unwrap();
        },
        &[&[], &["a: "], &["a: ", "b: "], &["b: "]],
    );
}

#[test]
fn content_is_lost_torn_or_whole_until_the_file_is_synced() {
    let written = async |disk: &SimulatedDisk| {
        disk.create_file("a").await.unwrap();
        disk.sync_folder("").await.unwrap();
        disk.append("a", b"xy").await.unwrap();
    };
    check(
        written,
        &[&["a: "], &["a: \0\0"], &["a: x"], &["a: x\0"], &["a: xy"]],
    );
    check(
        async |disk| {
            written(disk).await;
            disk.sync_file("a").await.unwrap();
        },
        &[&["a: xy"]],
    );
}

#[test]
fn a_file_whose_sync_failed_is_not_on_the_disk_even_if_it_is_synced_again() {
    let outcomes_after = |fault| {
        let disk = SimulatedDisk::default();
        block_on(async {
            disk.create_file("a").await.unwrap();
            disk.append("a", b"x").await.unwrap();
            disk.sync_folder("").await.unwrap();
            disk.fail([3], fault);
            disk.sync_file("a").await.unwrap_err();
            disk.sync_file("a").await.unwrap();
        });
        assert_eq!(disk.lock().image.read("a").unwrap(), b"x");
        outcomes(&disk).len()
    };
    assert_eq!(outcomes_after(Fault::Undone), 3);
    assert_eq!(outcomes_after(Fault::Done), 1);
}

#[test]
fn steps_fail_as_they_are_told() {
    block_on(async {
        let disk = SimulatedDisk::default();
        disk.fail([0], Fault::Undone);
        disk.fail([1], Fault::Done);
        disk.fail([2], Fault::Torn);
        disk.create_file("a").await.unwrap_err();
        assert_eq!(disk.paths(), [""; 0]);
        disk.create_file("a").await.unwrap_err();
        disk.append("a", b"1234").await.unwrap_err();
        assert_eq!(disk.lock().image.read("a").unwrap(), b"12");

        disk.stop_before(disk.steps() + 1);
        disk.append("a", b"34").await.unwrap();
        for _ in 0..2 {
            disk.append("a", b"56").await.unwrap_err();
            assert!(disk.has_stopped());
            assert!(disk.look(|image| image.read("a")).await.is_err());
        }
        let disk = disk.after_kill();
        disk.append("a", b"56").await.unwrap();
        let read = disk.look(|image| image.read("a")).await;
        assert_eq!(read.unwrap(), b"123456");
    });
}

#[test]
fn a_full_disk_takes_what_fits_and_says_that_it_is_full() {
    block_on(async {
        let disk = SimulatedDisk::default();
        disk.leave_room(Some(3));
        disk.create_file("a").await.unwrap();
        let error = disk.append("a", b"12345").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.lock().image.read("a").unwrap(), b"123");
        let error = disk.create_file("b").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        disk.remove("a").await.unwrap();
        disk.create_file("b").await.unwrap();
        disk.leave_room(None);
        disk.append("b", b"12345").await.unwrap();
    });
}

#[test]
fn a_listing_that_lies_shows_what_is_gone_and_not_all_that_comes_meanwhile() {
    let mut listings = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimulatedDisk::default();
        disk.lie(Some(seed));
        let names: Vec<String> = block_on(async {
            disk.make_folder("f");
            disk.create_file("f/kept").await.unwrap();
            disk.create_file("f/gone").await.unwrap();
            disk.remove("f/gone").await.unwrap();
            let (created, listed) = tokio::join!(disk.create_file("f/new"), disk.list("f"));
            created.unwrap();
            listed.unwrap().unwrap().into_iter().map(|(name, _)| name)
        })
        .collect();
        assert!(names.contains(&"kept".to_owned()), "{names:?}");
        listings.insert(names);
        // What is synced is gone for good.
        block_on(disk.sync_folder("f")).unwrap();
        let listed = block_on(disk.list("f")).unwrap().unwrap();
        let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["kept", "new"]);
    }
    let with = |name: &str| {
        listings
            .iter()
            .filter(|names| names.contains(&name.to_owned()))
            .count()
    };
    assert_eq!((listings.len(), with("gone"), with("new")), (4, 2, 2));
}
