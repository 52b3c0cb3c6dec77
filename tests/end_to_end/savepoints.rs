//! Savepoints: taken of a running job, moved, started from elsewhere, and claimed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use floodmark::config::CheckpointMode;
use floodmark::connectors::{MemoryOutput, MemorySink};
use floodmark::engine::{
    ClaimMode, Engine, EngineSettings, JobHandle, JobOutcome, SavepointRequest, StartFrom,
    StopRequest,
};
use floodmark::error::{Error, ErrorKind};
use floodmark::graph::{JobGraph, StreamBuilder};
use floodmark::snapshot::SnapshotKind;

use crate::support::{Halves, JobFolder, Sums};

const KEYS: u64 = 10;

/// A key, and the sum of its numbers so far.
type Sum = (u64, u64);

/// Running sums by key, in a store of their own.
struct Job {
    folder: tempfile::TempDir,
    output: MemoryOutput<Sum>,
    /// With one, which no test reaches, checkpoints are made of deltas, and without it of bases.
    interval: Option<Duration>,
    parallelism: usize,
    mode: CheckpointMode,
    /// The id of the operator with the state.
    operator: &'static str,
    start_from: Option<StartFrom>,
    fresh: bool,
    allow_non_restored_state: bool,
}

impl Job {
    fn new(interval: Option<Duration>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            output: MemoryOutput::default(),
            interval,
            parallelism: 2,
            mode: CheckpointMode::ExactlyOnce,
            operator: "sums",
            start_from: None,
            fresh: false,
            allow_non_restored_state: false,
        }
    }

    /// The same job somewhere else, to be started from a snapshot.
    fn from(path: &Path) -> Self {
        Self {
            start_from: Some(StartFrom::new(path.display().to_string())),
            ..Self::new(None)
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self) -> EngineSettings {
        let storage = self.path("checkpoints").display().to_string();
        let mut settings = EngineSettings::default().with_storage(storage);
        settings.checkpoint.interval = self.interval;
        settings.checkpoint.mode = self.mode;
        settings.checkpoint.savepoint_dir = Some(self.path("savepoints").display().to_string());
        settings.fresh = self.fresh;
        settings.start_from = self.start_from.clone();
        settings.allow_non_restored_state = self.allow_non_restored_state;
        settings
    }

    /// Starts the job, and waits until its source has emitted the numbers before `end`. With `is_last` it ends there, and
    /// nothing is waited for.
    fn try_start(&self, end: u64, is_last: bool) -> Result<JobHandle, Error> {
        let (sender, emitted) = sync_channel(1);
        let job = StreamBuilder::new("sums").parallelism(self.parallelism);
        let source = move || Ok(Halves::new(end, is_last, &sender));
        let numbers = job.source::<u64, _>("numbers", source);
        let sums = numbers.key_by(|number| number % KEYS).reduce(
            self.operator,
            |_| 0_u64,
            |number, mut sum| {
                *sum = (sum.to_native() + number).into();
                (number % KEYS, sum.to_native())
            },
        );
        let output = self.output.clone();
        sums.sink("out", move || Ok(MemorySink::of_rows(&output)));
        let graph: JobGraph = job.build().unwrap();
        let handle = Engine::new(graph, self.settings()).start()?;
        if !is_last {
            // A job that cannot go on drops its graph, and with it the sender.
            let _ = emitted.recv();
        }
        Ok(handle)
    }

    fn start(&self, end: u64) -> JobHandle {
        self.try_start(end, false).unwrap()
    }

    /// Lets the job work off the numbers before `end`, and finish.
    fn finish(&self, end: u64) {
        let outcome = self.try_start(end, true).unwrap().wait();
        assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    }

    /// How many sums are committed, and the largest of each key.
    fn committed(&self) -> (usize, BTreeMap<u64, u64>) {
        let mut sums = BTreeMap::new();
        let rows = self.output.rows();
        let count = rows.len();
        for (key, sum) in rows {
            let largest: &mut u64 = sums.entry(key).or_default();
            *largest = sum.max(*largest);
        }
        (count, sums)
    }

    fn checkpoints(&self) -> usize {
        let entries = fs::read_dir(self.path("checkpoints/sums")).unwrap();
        let is_complete = |path: PathBuf| path.join("manifest.json").exists();
        entries
            .filter(|entry| is_complete(entry.as_ref().unwrap().path()))
            .count()
    }
}

fn cancel(handle: JobHandle) {
    handle.cancel();
    let outcome = handle.wait();
    assert!(matches!(outcome, JobOutcome::Cancelled), "{outcome:?}");
}

fn expected(end: u64) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for number in 0..end {
        *sums.entry(number % KEYS).or_default() += number;
    }
    sums
}

/// Jobs whose checkpoints are made of bases, and of deltas.
fn of_both_kinds() -> [Job; 2] {
    [None, Some(Duration::from_secs(3600))].map(Job::new)
}

/// A savepoint of the numbers before 1,000, taken of a job that is gone, in a folder that was moved.
fn moved_savepoint(job: &Job) -> PathBuf {
    let handle = job.start(1_000);
    let savepoint = handle
        .savepoint(SavepointRequest::default())
        .wait()
        .unwrap();
    assert_eq!(savepoint.kind, SnapshotKind::Savepoint);
    cancel(handle);
    let moved = job.path("moved");
    fs::rename(savepoint.path, &moved).unwrap();
    fs::remove_dir_all(job.path("checkpoints")).unwrap();
    moved
}

#[test]
fn a_moved_savepoint_is_restored_elsewhere_at_another_parallelism_and_in_another_mode() {
    for job in of_both_kinds() {
        let moved = moved_savepoint(&job);
        for (parallelism, mode) in [
            (1, CheckpointMode::ExactlyOnce),
            (2, CheckpointMode::AtLeastOnce),
            (3, CheckpointMode::ExactlyOnce),
        ] {
            let elsewhere = Job {
                parallelism,
                mode,
                interval: job.interval,
                ..Job::from(&moved)
            };
            elsewhere.finish(2_000);
            assert_eq!(
                elsewhere.committed(),
                (1_000, expected(2_000)),
                "{parallelism} {mode:?}"
            );
        }
        assert!(
            moved.join("manifest.json").exists(),
            "nobody has claimed it"
        );
    }
}

/// A job that was started from a savepoint once said that it had been restored from a checkpoint of its own.
#[test]
fn a_restore_is_told_with_what_the_job_was_started_from() {
    let job = Job::new(None);
    let moved = moved_savepoint(&job);
    let restored = |handle: JobHandle| {
        let status = handle.status();
        let taken = handle.checkpoint().wait().unwrap().path;
        cancel(handle);
        let statistics = status.checkpoints();
        let restored = statistics.latest_restored().unwrap();
        let path = PathBuf::from(&restored.path);
        ((restored.is_savepoint, path), PathBuf::from(taken))
    };
    let elsewhere = Job::from(&moved);
    let (told, first) = restored(elsewhere.start(1_200));
    assert_eq!(told, (true, moved));
    let (told, second) = restored(elsewhere.start(1_400));
    assert_eq!(told, (false, first));
    let from_checkpoint = Job::from(&second);
    let (told, _) = restored(from_checkpoint.start(1_600));
    assert_eq!(told, (false, second));
}

#[test]
fn an_intermediate_savepoint_commits_nothing_and_the_job_goes_on() {
    for job in of_both_kinds() {
        let handle = job.start(1_000);
        let first = handle
            .savepoint(SavepointRequest::default())
            .wait()
            .unwrap();
        assert_eq!(job.committed().0, 0);
        assert_eq!(job.checkpoints(), 0);
        let elsewhere = job.path("other").display().to_string();
        let request = SavepointRequest {
            directory: Some(elsewhere.clone()),
        };
        let second = handle.savepoint(request).wait().unwrap();
        assert!(Path::new(&second.path).starts_with(elsewhere));
        assert!(second.id > first.id);
        // The next checkpoint commits what the savepoints did not.
        let checkpoint = handle.checkpoint().wait().unwrap();
        assert_eq!(checkpoint.kind, SnapshotKind::Checkpoint);
        assert!(Path::new(&checkpoint.path).join("manifest.json").exists());
        let stopped = handle.stop(StopRequest::default()).wait().unwrap();
        assert!(stopped.checkpoint.id > checkpoint.id);
        assert_eq!(stopped.savepoint, None);
        assert_eq!(job.committed(), (1_000, expected(1_000)));
        assert!(matches!(handle.wait(), JobOutcome::Stopped));
        for path in [first.path, second.path] {
            assert!(Path::new(&path).join("manifest.json").exists(), "{path}");
        }
    }
}

#[test]
fn a_job_that_was_stopped_with_a_savepoint_goes_on_from_there_with_it_and_without() {
    for job in of_both_kinds() {
        let handle = job.start(1_000);
        let request = StopRequest {
            savepoint: Some(SavepointRequest::default()),
            drain: false,
        };
        let stopped = handle.stop(request).wait().unwrap();
        assert!(matches!(handle.wait(), JobOutcome::Stopped));
        assert_eq!(job.committed(), (1_000, expected(1_000)), "a stop commits");
        let savepoint = stopped.savepoint.unwrap();
        assert_eq!(savepoint.id, stopped.checkpoint.id);
        let elsewhere = Job::from(Path::new(&savepoint.path));
        elsewhere.finish(2_000);
        assert_eq!(elsewhere.committed(), (1_000, expected(2_000)));
        job.finish(2_000);
        assert_eq!(job.committed(), (2_000, expected(2_000)));
    }
}

#[test]
fn a_drained_job_has_finished() {
    let job = Job::new(None);
    let handle = job.start(1_000);
    let request = StopRequest {
        savepoint: Some(SavepointRequest::default()),
        drain: true,
    };
    let drained = handle.stop(request).wait().unwrap();
    assert!(matches!(handle.wait(), JobOutcome::Finished));
    assert_eq!(job.committed(), (1_000, expected(1_000)));
    // What has finished is not run again, whichever of the two it goes on from.
    job.finish(2_000);
    assert_eq!(job.committed().0, 1_000);
    let elsewhere = Job::from(Path::new(&drained.savepoint.unwrap().path));
    elsewhere.finish(2_000);
    assert_eq!(elsewhere.committed().0, 0);
}

#[test]
fn a_savepoint_that_has_nowhere_to_go_is_refused_and_the_job_goes_on() {
    let job = Job::new(None);
    let handle = job.start(1_000);
    fs::write(job.path("file"), "in the way").unwrap();
    let nowhere = || SavepointRequest {
        directory: Some(job.path("file/below").display().to_string()),
    };
    let error = handle.savepoint(nowhere()).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.to_string().starts_with("IO_EXCEPTION: "), "{error}");
    let request = StopRequest {
        savepoint: Some(nowhere()),
        drain: false,
    };
    handle.stop(request).wait().unwrap_err();
    handle.checkpoint().wait().unwrap();
    handle.stop(StopRequest::default()).wait().unwrap();
    assert_eq!(job.committed().0, 1_000);
}

#[test]
fn the_same_command_after_a_crash_goes_on_from_the_newest_checkpoint() {
    let first = Job::new(None);
    let moved = moved_savepoint(&first);
    let job = Job::from(&moved);
    let handle = job.start(1_500);
    handle.checkpoint().wait().unwrap();
    cancel(handle);
    // What it was started from is not even needed any more.
    fs::remove_dir_all(&moved).unwrap();
    job.finish(2_000);
    assert_eq!(job.committed(), (1_000, expected(2_000)));
}

#[test]
fn a_job_with_checkpoints_of_its_own_is_not_started_from_a_snapshot_unless_it_starts_fresh() {
    let first = Job::new(None);
    let moved = moved_savepoint(&first);
    let mut job = Job::new(None);
    let handle = job.start(300);
    handle.stop(StopRequest::default()).wait().unwrap();
    assert!(matches!(handle.wait(), JobOutcome::Stopped));
    job.start_from = Some(StartFrom::new(moved.display().to_string()));
    let error = job.try_start(2_000, true).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    assert!(
        text.contains("leave --from out") && text.contains("add --fresh"),
        "{text}"
    );
    job.fresh = true;
    job.output = MemoryOutput::default();
    job.finish(2_000);
    assert_eq!(job.committed(), (1_000, expected(2_000)));
}

#[test]
fn a_claimed_savepoint_goes_when_a_newer_checkpoint_has_taken_its_place() {
    let first = Job::new(None);
    let moved = moved_savepoint(&first);
    let job = Job {
        start_from: Some(StartFrom {
            claim_mode: ClaimMode::Claim,
            ..StartFrom::new(moved.display().to_string())
        }),
        ..Job::new(None)
    };
    let handle = job.start(1_500);
    assert!(moved.join("manifest.json").exists());
    handle.stop(StopRequest::default()).wait().unwrap();
    handle.wait();
    assert!(!moved.exists());
    job.finish(2_000);
    assert_eq!(job.committed(), (1_000, expected(2_000)));
}

#[test]
fn state_of_an_operator_that_was_renamed_is_named_and_dropped_only_when_that_is_allowed() {
    let first = Job::new(None);
    let moved = moved_savepoint(&first);
    let mut job = Job {
        operator: "totals",
        ..Job::from(&moved)
    };
    let error = job.try_start(2_000, true).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    for part in [
        "\"sums\" (keyed state ",
        "\"totals\"",
        "--allow-non-restored-state",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    job.allow_non_restored_state = true;
    job.finish(2_000);
    let of_the_rest: u64 = (1_000..2_000).sum();
    assert_eq!(job.committed().1.values().sum::<u64>(), of_the_rest);
}

#[test]
fn savepoints_are_listed_inspected_and_disposed_of_from_the_command_line() {
    let job = Job::new(None);
    let handle = job.start(1_000);
    let savepoint = handle
        .savepoint(SavepointRequest::default())
        .wait()
        .unwrap();
    let checkpoint = handle.checkpoint().wait().unwrap();
    cancel(handle);
    let folder = JobFolder::new();
    let directory = job.path("savepoints").display().to_string();
    let listed = folder.floodmark(&["savepoint", "list", &directory, "--json"]);
    listed.expect_code(0);
    let rows: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(rows[0]["path"], savepoint.path.as_str());
    assert_eq!(rows[0]["job"], "sums");
    assert_eq!(rows[0]["bytes"], savepoint.bytes);
    let inspected = folder.floodmark(&["savepoint", "inspect", &savepoint.path]);
    inspected.expect_code(0);
    assert!(
        inspected.stdout.contains("savepoint"),
        "{}",
        inspected.stdout
    );
    assert!(inspected.stdout.contains("sums"), "{}", inspected.stdout);
    let refused = folder.floodmark(&["savepoint", "dispose", &checkpoint.path]);
    let log = refused.expect_code(2);
    assert!(log.contains("not a savepoint"), "{log}");
    folder
        .floodmark(&["savepoint", "dispose", &savepoint.path])
        .expect_code(0);
    assert!(!Path::new(&savepoint.path).exists());
    let listed = folder.floodmark(&["savepoint", "list", &directory]);
    assert!(
        listed.stdout.contains("there is no savepoint"),
        "{}",
        listed.stdout
    );
}

#[test]
fn the_binary_starts_a_job_from_a_checkpoint_of_another_store() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    folder.run_a_little();
    let toml = Sums {
        parallelism: 3,
        ..Sums::fast()
    }
    .toml();
    folder.write("job.toml", &toml.replace("'checkpoints'", "'elsewhere'"));
    let claimed = [
        "run",
        "job.toml",
        "--from",
        "checkpoints/sums/chk-1",
        "--claim-mode",
        "claim",
    ];
    let log = folder.floodmark(&claimed);
    assert!(log.expect_code(2).contains("cannot be claimed"));
    let run = ["run", "job.toml", "--from", "checkpoints/sums/chk-1"];
    let log = folder.floodmark(&run);
    assert!(log.expect_code(0).contains("is taken over"));
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
    let missing = folder.floodmark(&["run", "job.toml", "--fresh", "--from", "nowhere"]);
    assert!(missing.expect_code(2).contains("there is no snapshot at"));
}
