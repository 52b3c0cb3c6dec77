use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::connectors::file::sink_trial::{SinkTrial, Taken};
use crate::connectors::test_support::{Subtask, key_values};

type Sinks = SinkTrial<FileSink>;

impl Sinks {
    fn start(folder: &Path, rest: &str, parallelism: usize) -> Result<Self> {
        let text = format!("path = '{}'\nformat = 'csv'\n{rest}", folder.display());
        let config: FileSinkConfig = toml::from_str(&text).unwrap();
        Self::new(parallelism, move |subtask| {
            let mut sink = FileSink::new(config.clone());
            subtask.open_sink(&mut sink)?;
            Ok(sink)
        })
    }
}

#[test]
fn what_a_snapshot_is_to_sync_may_have_been_committed_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_interval = '0s'", 1).unwrap();
    sinks.write(3);
    let sink = &mut sinks.sinks[0];
    let first = sink.snapshot(CheckpointId(1)).unwrap();
    // The next barrier comes before the work of the first one is done, and its own work only after the commit.
    let second = sink.snapshot(CheckpointId(2)).unwrap();
    for work in first.background {
        work().unwrap();
    }
    for work in sink.commit(CheckpointId(1)).unwrap() {
        work().unwrap();
    }
    for work in second.background {
        work().unwrap();
    }
    check_output(folder.path(), 0..3);
}

/// The values in all finished files, sorted.
fn output(folder: &Path) -> Vec<i64> {
    let mut values = Vec::new();
    for name in names(folder) {
        if name.starts_with("part-") {
            let text = fs::read_to_string(folder.join(&name)).unwrap();
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("key,value"), "{name}");
            values
                .extend(lines.map(|line| line.strip_prefix("k,").unwrap().parse::<i64>().unwrap()));
        }
    }
    values.sort_unstable();
    values
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(name).collect()
}

#[track_caller]
fn check_output(folder: &Path, expected: std::ops::Range<i64>) {
    let found = output(folder);
    assert!(
        found.iter().copied().eq(expected.clone()),
        "{expected:?}: {found:?}"
    );
}

#[test]
fn rows_become_visible_when_their_checkpoint_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_interval = '0s'", 2).unwrap();
    sinks.write(10);
    check_output(folder.path(), 0..0);
    let first = sinks.snapshot();
    sinks.write(10);
    check_output(folder.path(), 0..0);
    let second = sinks.snapshot();
    sinks.commit(&first);
    check_output(folder.path(), 0..10);
    let third = sinks.snapshot();
    sinks.commit(&third);
    sinks.commit(&second);
    check_output(folder.path(), 0..20);
}

#[test]
fn a_file_is_closed_when_it_is_old_or_large_enough() {
    let folder = tempfile::tempdir().unwrap();
    let rolling = "roll_interval = '10s'\nroll_size = '200KB'";
    let mut sinks = Sinks::start(folder.path(), rolling, 1).unwrap();
    let files_after = |sinks: &mut Sinks, rows: usize, seconds: u64| {
        sinks.write(rows);
        sinks.clock.advance(Duration::from_secs(seconds));
        let taken = sinks.snapshot();
        sinks.commit(&taken);
        names(folder.path())
            .iter()
            .filter(|name| name.starts_with("part-"))
            .count()
    };
    assert_eq!(files_after(&mut sinks, 10, 9), 0);
    assert_eq!(files_after(&mut sinks, 10, 1), 1);
    assert_eq!(files_after(&mut sinks, 10, 9), 1);
    // Each row is at least five bytes, and what is written goes out in pieces of 128 KiB.
    assert_eq!(files_after(&mut sinks, 100_000, 0), 4);
    assert_eq!(files_after(&mut sinks, 0, 10), 5);
    check_output(folder.path(), 0..sinks.next);
}

#[test]
fn a_crash_at_any_point_changes_nothing_in_the_output() {
    for (interval, parallelism) in [("0s", 1), ("0s", 2), ("1h", 1), ("1h", 2)] {
        let case = format!("interval {interval}, parallelism {parallelism}");
        let folder = tempfile::tempdir().unwrap();
        let rolling = format!("roll_interval = '{interval}'");
        let mut sinks = Sinks::start(folder.path(), &rolling, parallelism).unwrap();
        sinks.write(5);
        let first = sinks.snapshot();
        sinks.commit(&first);
        // Before the snapshot.
        sinks.write(7);
        sinks.crash_and_restore(parallelism, &first).unwrap();
        sinks.write(7);
        // After the snapshot, before the checkpoint was complete.
        sinks.snapshot();
        sinks.write(3);
        sinks.crash_and_restore(parallelism, &first).unwrap();
        sinks.write(9);
        // After the checkpoint was complete, before the commit; twice, as the restore can be cut short too.
        let second = sinks.snapshot();
        sinks.write(2);
        sinks.crash_and_restore(parallelism, &second).unwrap();
        sinks.crash_and_restore(parallelism, &second).unwrap();
        sinks.write(4);
        // After the commit.
        let third = sinks.snapshot();
        sinks.commit(&third);
        sinks.write(6);
        sinks.crash_and_restore(parallelism, &third).unwrap();
        sinks.write(6);
        sinks.finish();
        assert!(
            output(folder.path()).into_iter().eq(0..sinks.next),
            "{case}"
        );
        assert!(
            names(folder.path())
                .iter()
                .all(|name| name.starts_with("part-")),
            "{case}"
        );
    }
}

#[test]
fn an_older_checkpoint_takes_back_what_newer_ones_had_finished() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_interval = '10s'", 2).unwrap();
    sinks.write(4);
    let first = sinks.snapshot();
    sinks.write(4);
    sinks.clock.advance(Duration::from_secs(10));
    let second = sinks.snapshot();
    sinks.commit(&second);
    sinks.write(4);
    sinks.clock.advance(Duration::from_secs(10));
    let third = sinks.snapshot();
    sinks.commit(&third);
    check_output(folder.path(), 0..12);
    sinks.crash_and_restore(2, &first).unwrap();
    check_output(folder.path(), 0..0);
    sinks.write(3);
    sinks.finish();
    check_output(folder.path(), 0..7);
}

#[test]
fn files_of_a_subtask_that_has_begun_few_are_taken_back_by_its_own_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_interval = '0s'", 2).unwrap();
    let write_one = |sinks: &mut Sinks, subtask: usize| {
        sinks.sinks[subtask]
            .write(key_values(&[("k", sinks.next)]))
            .unwrap();
        sinks.next += 1;
        let taken = sinks.snapshot();
        sinks.commit(&taken);
        taken
    };
    for _ in 0..3 {
        write_one(&mut sinks, 0);
    }
    let taken = write_one(&mut sinks, 0);
    write_one(&mut sinks, 1);
    check_output(folder.path(), 0..5);
    sinks.crash_and_restore(2, &taken).unwrap();
    check_output(folder.path(), 0..4);
}

#[test]
fn random_runs_with_crashes_older_checkpoints_and_other_parallelism_are_exact() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let interval = random.choice(["0s", "3s", "1h"]).unwrap();
        let rolling = format!("roll_interval = '{interval}'\nroll_size = '150B'");
        let mut sinks = Sinks::start(folder.path(), &rolling, 2).unwrap();
        let mut taken: Vec<Taken> = Vec::new();
        for _ in 0..30 {
            match random.u8(0..10) {
                0..4 => sinks.write(random.usize(0..20)),
                4..6 => taken.push(sinks.snapshot()),
                6 => {
                    if let Some(last) = taken.last() {
                        sinks.commit(last);
                    }
                }
                7 => sinks.clock.advance(Duration::from_secs(2)),
                _ if taken.is_empty() => {}
                _ => {
                    // Now and then the newest checkpoint is damaged, and the one before it is taken.
                    if random.u8(0..3) == 0 && taken.len() > 1 {
                        taken.pop();
                    }
                    let last = taken.last().unwrap();
                    sinks.crash_and_restore(random.usize(1..4), last).unwrap();
                    let visible = output(folder.path());
                    let covered = (0..last.next).collect::<BTreeSet<_>>();
                    assert!(
                        visible.iter().all(|row| covered.contains(row)),
                        "seed {seed}"
                    );
                }
            }
        }
        sinks.finish();
        let found = output(folder.path());
        assert!(
            found.iter().copied().eq(0..sinks.next),
            "seed {seed}: {found:?}"
        );
        assert!(
            names(folder.path())
                .iter()
                .all(|name| name.starts_with("part-")),
            "seed {seed}"
        );
    }
}

#[test]
fn a_part_stays_in_the_snapshots_until_it_is_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_interval = '0s'", 1).unwrap();
    sinks.write(3);
    let first = sinks.snapshot();
    let rename = sinks.sinks[0].commit(first.id).unwrap();
    let second = sinks.snapshot();
    // The process dies before the rename, and after the second checkpoint was complete.
    drop(rename);
    sinks.crash_and_restore(1, &second).unwrap();
    check_output(folder.path(), 0..3);
}

#[test]
fn output_that_a_checkpoint_needs_and_that_is_gone_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "roll_interval = '0s'", 1).unwrap();
    sinks.write(3);
    let taken = sinks.snapshot();
    let hidden = folder.path().join(".part-0-000000.csv.pending");
    fs::write(&hidden, "key").unwrap();
    let error = sinks.crash_and_restore(1, &taken).unwrap_err();
    assert!(
        error.to_string().contains("has 3 bytes instead of"),
        "{error}"
    );
    fs::remove_file(&hidden).unwrap();
    let error = sinks.crash_and_restore(1, &taken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    let message = error.to_string();
    assert!(
        message.contains("part-0-000000.csv belongs to the checkpoint"),
        "{message}"
    );
    assert!(message.contains("is gone"), "{message}");
}

/// A folder as an earlier run with three subtasks, which was killed, has left it.
fn used_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "part-0-000000.csv",
        "part-2-000004.csv",
        ".part-1-000002.csv.inprogress",
        ".part-2-000005.csv.pending",
        "notes.txt",
        "part-of-something.csv",
    ] {
        fs::write(folder.path().join(name), "key,value\n").unwrap();
    }
    folder
}

#[test]
fn a_fresh_start_does_with_earlier_output_what_it_is_told() {
    let folder = used_folder();
    let error = Sinks::start(folder.path(), "", 2).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let message = error.to_string();
    assert!(
        message.contains("part-0-000000.csv is the output of an earlier run"),
        "{message}"
    );

    let check = |existing: &str, expected: &[&str]| {
        let folder = used_folder();
        let rest = format!("existing = '{existing}'\nroll_interval = '0s'");
        let mut sinks = Sinks::start(folder.path(), &rest, 2).unwrap();
        sinks.write(2);
        let taken = sinks.snapshot();
        sinks.commit(&taken);
        // A restore must not take the earlier run's files for its own either.
        sinks.crash_and_restore(2, &taken).unwrap();
        let found = names(folder.path());
        assert!(found.iter().eq(expected), "{existing}: {found:?}");
    };
    check(
        "replace",
        &[
            "notes.txt",
            "part-0-000000.csv",
            "part-1-000000.csv",
            "part-of-something.csv",
        ],
    );
    check(
        "keep",
        &[
            "notes.txt",
            "part-0-000000.csv",
            "part-0-000005.csv",
            "part-1-000005.csv",
            "part-2-000004.csv",
            "part-of-something.csv",
        ],
    );
}

#[test]
fn each_subtask_judges_its_own_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("part-3-000000.csv"), "key,value\n").unwrap();
    let open = |index| {
        let text = format!("path = '{}'\nformat = 'csv'", folder.path().display());
        let mut sink = FileSink::new(toml::from_str(&text).unwrap());
        Subtask::of(index, 2).open_sink(&mut sink)
    };
    assert!(open(0).is_ok());
    assert!(open(1).is_err());
}

#[test]
fn another_format_than_that_of_unfinished_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut sinks = Sinks::start(folder.path(), "", 1).unwrap();
    sinks.write(1);
    let taken = sinks.snapshot();
    let text = format!("path = '{}'\nformat = 'json'", folder.path().display());
    let mut other = FileSink::new(toml::from_str(&text).unwrap());
    let restoring = Subtask::of(0, 1).restored(Some(taken.state));
    let error = restoring.open_sink(&mut other).unwrap_err();
    assert!(error.to_string().starts_with("format: "), "{error}");
}
