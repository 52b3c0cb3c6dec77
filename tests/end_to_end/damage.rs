//! A damaged newest checkpoint: it is named, the one before it is used, and nothing is missing or doubled in the end,
//! although the damaged one had committed its output already.

use std::fs;
use std::path::PathBuf;

use crate::support::{JobFolder, Sums};

/// How many checkpoints there are: each run of the job is stopped with one.
const CHECKPOINTS: u64 = 3;

#[test]
fn a_flipped_byte_in_the_newest_manifest_is_survived() {
    check(
        |stopped| {
            stopped.change(stopped.manifest(CHECKPOINTS), |content| {
                flip_a_digit(content)
            })
        },
        "its manifest has the checksum",
    );
}

#[test]
fn a_half_written_newest_manifest_is_survived() {
    check(
        |stopped| stopped.change(stopped.manifest(CHECKPOINTS), halve),
        "its manifest is cut off or garbled",
    );
}

#[test]
fn an_empty_newest_manifest_is_survived() {
    check(
        |stopped| stopped.change(stopped.manifest(CHECKPOINTS), Vec::clear),
        "its manifest is empty",
    );
}

#[test]
fn a_flipped_byte_in_an_object_of_the_newest_checkpoint_is_survived() {
    check(
        |stopped| stopped.change(stopped.newest_object(), |content| flip_the_middle(content)),
        "is damaged: its bytes from",
    );
}

#[test]
fn a_truncated_object_of_the_newest_checkpoint_is_survived() {
    check(
        |stopped| stopped.change(stopped.newest_object(), halve),
        "is cut off: it has",
    );
}

#[test]
fn a_missing_object_of_the_newest_checkpoint_is_survived() {
    check(
        |stopped| fs::remove_file(stopped.newest_object()).unwrap(),
        "is missing",
    );
}

/// What the damaged checkpoint had finished was begun before it: the files come back as they were at the one before.
#[test]
fn files_that_the_damaged_checkpoint_had_finished_are_taken_back() {
    let keep_open = Sums {
        roll_interval: "1h",
        ..Sums::slow()
    };
    let folder = JobFolder::with_job(&keep_open.toml());
    folder.run_a_little();
    folder.run_a_little();
    assert!(folder.finished("out").is_empty());
    folder.write("job.toml", &Sums::slow().toml());
    folder.run_a_little();
    assert!(!folder.finished("out").is_empty());
    folder.write("job.toml", &Sums::fast().toml());
    let stopped = Stopped { folder };
    stopped.change(stopped.manifest(CHECKPOINTS), Vec::clear);
    let log = stopped.run_to_the_end();
    assert!(log.contains("a finished file is taken back"), "{log}");
}

#[test]
fn two_damaged_checkpoints_are_both_named() {
    let stopped = Stopped::new();
    fs::remove_file(stopped.newest_object()).unwrap();
    stopped.change(stopped.manifest(CHECKPOINTS - 1), halve);
    let log = stopped.run_to_the_end();
    expect_warning(&log, CHECKPOINTS, "is missing");
    expect_warning(&log, CHECKPOINTS - 1, "its manifest is cut off or garbled");
    assert!(
        log.contains("resumed from a checkpoint checkpoint=1"),
        "{log}"
    );
}

#[test]
fn a_job_whose_checkpoints_are_all_damaged_touches_nothing_until_it_is_told_to_start_fresh() {
    let stopped = Stopped::new();
    for checkpoint in 1..=CHECKPOINTS {
        stopped.change(stopped.manifest(checkpoint), halve);
    }
    let before = (
        stopped.folder.files("out"),
        stopped.folder.files("checkpoints/sums/shared"),
    );
    assert!(!before.0.is_empty());

    let ended = stopped.folder.run();
    let log = ended.expect_code(1);
    assert!(log.contains("error: every checkpoint is damaged"), "{log}");
    assert!(log.contains("--fresh"), "{log}");
    for checkpoint in 1..=CHECKPOINTS {
        let name = format!("checkpoint {checkpoint} in ");
        assert!(log.contains(&name), "{name:?} in:\n{log}");
    }
    let after = (
        stopped.folder.files("out"),
        stopped.folder.files("checkpoints/sums/shared"),
    );
    assert!(before == after, "files have changed");

    let replacing = Sums {
        existing: "replace",
        ..Sums::fast()
    };
    stopped.folder.write("job.toml", &replacing.toml());
    stopped
        .folder
        .floodmark(&["run", "job.toml", "--fresh"])
        .expect_code(0);
    stopped.expect_all_once();
}

/// Damages the newest checkpoint, and runs the job to its end.
fn check(damage: impl Fn(&Stopped), description: &str) {
    let stopped = Stopped::new();
    damage(&stopped);
    let log = stopped.run_to_the_end();
    expect_warning(&log, CHECKPOINTS, description);
    assert!(
        log.contains("resumed from a checkpoint checkpoint=2"),
        "{log}"
    );
}

fn expect_warning(log: &str, checkpoint: u64, description: &str) {
    let id = format!("checkpoint={checkpoint} ");
    let is_expected = |line: &str| {
        line.contains("WARN")
            && line.contains("a damaged checkpoint is passed over")
            && line.contains(&id)
            && line.contains(description)
    };
    assert!(
        log.lines().any(is_expected),
        "no {description:?} of {checkpoint} in:\n{log}"
    );
}

/// A job that was stopped with its last checkpoint so many times, and started again.
struct Stopped {
    folder: JobFolder,
}

impl Stopped {
    fn new() -> Self {
        let folder = JobFolder::with_job(&Sums::slow().toml());
        let mut files = 0;
        for _ in 0..CHECKPOINTS {
            folder.run_a_little();
            let finished = folder.finished("out").len();
            assert!(finished > files, "the checkpoint has committed nothing");
            files = finished;
        }
        folder.write("job.toml", &Sums::fast().toml());
        Self { folder }
    }

    fn manifest(&self, checkpoint: u64) -> PathBuf {
        self.folder
            .path(&format!("checkpoints/sums/chk-{checkpoint}/manifest.json"))
    }

    /// An object that the newest checkpoint refers to, and no other.
    fn newest_object(&self) -> PathBuf {
        let refers = |checkpoint: u64, object: &str| {
            let manifest = fs::read_to_string(self.manifest(checkpoint)).unwrap();
            manifest.contains(object)
        };
        let objects = self.folder.files("checkpoints/sums/shared");
        let of_newest = objects.iter().find(|(name, _)| {
            refers(CHECKPOINTS, name) && (1..CHECKPOINTS).all(|older| !refers(older, name))
        });
        let (name, content) = of_newest.expect("the newest checkpoint has an object of its own");
        assert!(!content.is_empty(), "{name}");
        self.folder.path("checkpoints/sums/shared").join(name)
    }

    fn change(&self, path: PathBuf, damage: impl Fn(&mut Vec<u8>)) {
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damage(&mut damaged);
        assert_ne!(whole, damaged);
        fs::write(path, damaged).unwrap();
    }

    /// Runs the job to its end and checks its output. Gives its log.
    fn run_to_the_end(&self) -> String {
        let ended = self.folder.run();
        let log = ended.expect_code(0);
        self.expect_all_once();
        log.to_owned()
    }

    fn expect_all_once(&self) {
        let committed = self.folder.committed("out", Sums::HEADER);
        assert!(committed == Sums::expected(), "{} lines", committed.len());
    }
}

/// Changes a digit of a number, so that the manifest can be read still. It is not the first one: no number begins with 0.
fn flip_a_digit(content: &mut [u8]) {
    let text = String::from_utf8(content.to_owned()).unwrap();
    let (field, _) = text
        .match_indices("\"completed_unix_millis\":")
        .next()
        .unwrap();
    let digit = text[field..].find(|character: char| character.is_ascii_digit());
    content[field + digit.unwrap() + 1] ^= 1;
}

fn flip_the_middle(content: &mut [u8]) {
    let middle = content.len() / 2;
    content[middle] ^= 1;
}

fn halve(content: &mut Vec<u8>) {
    content.truncate(content.len() / 2);
}
