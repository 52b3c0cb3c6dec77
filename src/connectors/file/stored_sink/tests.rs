use std::fs;
use std::path::Path;

use super::*;
use crate::connectors::file::sink_trial::{SinkTrial, Taken};
use crate::connectors::test_support::key_values;

type Sinks = SinkTrial<StoredFileSink>;

impl Sinks {
    /// A folder stands for the bucket.
    fn start(folder: &Path, rest: &str, parallelism: usize) -> Result<Self> {
        let text = format!("path = 'out'\nformat = 'csv'\n{rest}");
        let config: FileSinkConfig = toml::from_str(&text).unwrap();
        let bucket = FileStore::of_folder(folder).unwrap();
        Self::new(parallelism, move |subtask| {
            let location = StoreLocation::of_folder("/unused");
            let mut sink = StoredFileSink::new(config.clone(), location);
            subtask.open_with(|context| sink.open_over(bucket.clone(), context))?;
            Ok(sink)
        })
    }
}

/// The values that a reader of the bucket sees, in order.
fn values(folder: &Path) -> Vec<i64> {
    let mut values = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_str().unwrap().starts_with("part-") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        let rows = text
            .lines()
            .skip(1)
            .map(|line| line.split_once(',').unwrap());
        values.extend(rows.map(|(_, value)| value.parse::<i64>().unwrap()));
    }
    values.sort_unstable();
    values
}

/// How many parts wait.
fn staged(folder: &Path) -> usize {
    fs::read_dir(folder.join(".pending")).map_or(0, Iterator::count)
}

#[test]
fn readers_see_what_complete_checkpoints_cover_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_size = '60B'", 2).unwrap();
    sinks.write(10);
    let first = sinks.snapshot();
    assert!(values(folder.path()).is_empty());
    sinks.write(5);
    sinks.commit(&first);
    assert!(values(folder.path()).into_iter().eq(0..10));
    // The second is given up; the third stands for both.
    sinks.snapshot();
    sinks.write(3);
    let third = sinks.snapshot();
    sinks.commit(&third);
    assert!(values(folder.path()).into_iter().eq(0..18));
    assert_eq!(staged(folder.path()), 0);
}

#[test]
fn every_crash_leaves_each_row_once_for_readers() {
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut sinks =
            Sinks::start(folder.path(), "roll_size = '40B'", random.usize(1..4)).unwrap();
        let mut last: Option<Taken> = None;
        for _ in 0..random.usize(1..25) {
            sinks.write(random.usize(0..8));
            match random.u8(0..6) {
                0..3 => {
                    let taken = sinks.snapshot();
                    sinks.commit(&taken);
                    last = Some(taken);
                }
                // It is given up.
                3 => drop(sinks.snapshot()),
                _ => {
                    // Killed at any time after the manifest was durable, also in the midst of the commit.
                    if random.bool() {
                        let taken = sinks.snapshot();
                        let done = sinks.sinks.len().saturating_sub(random.usize(0..4));
                        sinks.commit_by(done, &taken);
                        last = Some(taken);
                        sinks.write(random.usize(0..4));
                    }
                    let parallelism = random.usize(1..4);
                    match &last {
                        Some(taken) => sinks.crash_and_restore(parallelism, taken).unwrap(),
                        None => sinks.crash_and_start_afresh(parallelism).unwrap(),
                    }
                }
            }
            let visible = last.as_ref().map_or(0, |taken| taken.next);
            assert!(
                values(folder.path()).into_iter().eq(0..visible),
                "seed {seed}"
            );
        }
        let taken = sinks.snapshot();
        sinks.commit(&taken);
        assert!(
            values(folder.path()).into_iter().eq(0..sinks.next),
            "seed {seed}"
        );
        // What was given up or killed leaves nothing behind once the job is restored.
        let parallelism = random.usize(1..4);
        sinks.crash_and_restore(parallelism, &taken).unwrap();
        assert!(
            values(folder.path()).into_iter().eq(0..sinks.next),
            "seed {seed}"
        );
        assert_eq!(staged(folder.path()), 0, "seed {seed}");
    }
}

#[test]
fn a_process_that_lost_the_job_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "", 1).unwrap();
    sinks.write(3);
    let first = sinks.snapshot();
    let mut former = std::mem::take(&mut sinks.sinks);
    sinks.crash_and_restore(1, &first).unwrap();
    sinks.write(2);
    let second = sinks.snapshot();
    // It writes a part of the same number, and comes to the commit that it was frozen before.
    former[0].write(key_values(&[("k", 77)])).unwrap();
    for work in former[0].snapshot(CheckpointId(9)).unwrap().background {
        work().unwrap();
    }
    sinks.commit(&second);
    assert!(values(folder.path()).into_iter().eq(0..5));
}

#[test]
fn a_part_that_cannot_be_copied_stays_where_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_size = '1B'", 1).unwrap();
    sinks.write(3);
    let taken = sinks.snapshot();
    // A folder of the name of the second part stands in its way.
    let obstacle = folder.path().join("part-0-000001.csv");
    fs::create_dir(&obstacle).unwrap();
    let mut work = sinks.sinks[0].commit(taken.id).unwrap();
    assert!(work.pop().unwrap()().is_err());
    fs::remove_dir(&obstacle).unwrap();
    sinks.crash_and_restore(1, &taken).unwrap();
    assert!(values(folder.path()).into_iter().eq(0..3));
    assert_eq!(staged(folder.path()), 0);
}

#[test]
fn what_a_checkpoint_needs_and_is_gone_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "", 1).unwrap();
    sinks.write(3);
    let taken = sinks.snapshot();
    fs::remove_dir_all(folder.path().join(".pending")).unwrap();
    let error = sinks.crash_and_restore(1, &taken).unwrap_err();
    assert!(error.to_string().contains("part-0-000000.csv"), "{error}");
    assert!(error.to_string().contains("is gone"), "{error}");
}

#[test]
fn the_output_of_an_earlier_run_is_refused_kept_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "", 1).unwrap();
    sinks.write(3);
    let taken = sinks.snapshot();
    sinks.commit(&taken);
    let error = Sinks::start(folder.path(), "", 2).err().unwrap();
    assert!(error.to_string().contains("earlier run"), "{error}");
    let mut kept = Sinks::start(folder.path(), "existing = 'keep'", 2).unwrap();
    kept.next = 3;
    kept.write(2);
    let taken = kept.snapshot();
    kept.commit(&taken);
    assert!(values(folder.path()).into_iter().eq(0..5));
    Sinks::start(folder.path(), "existing = 'replace'", 2).unwrap();
    assert!(values(folder.path()).is_empty());
}

#[test]
fn a_sink_whose_uploads_wait_has_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_size = '1B'", 1).unwrap();
    let sink = &mut sinks.sinks[0];
    for _ in 0..20 {
        sink.write(key_values(&[("k", 1)])).unwrap();
    }
    for work in sink.snapshot(CheckpointId(1)).unwrap().background {
        work().unwrap();
    }
    assert!(sink.has_room(false), "all that was on its way has arrived");
    let opened = sink.opened.as_mut().unwrap();
    for pending in opened.pending.iter().take(UPLOADS_MAX) {
        *lock(&pending.upload.0) = Some(PendingResult::never());
    }
    assert!(!sink.has_room(false));
}
