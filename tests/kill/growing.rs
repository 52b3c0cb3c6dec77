//! An aggregate over keys that come in all the time: its tables grow and split while the process is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::{kill_again_and_again, seed};

const ROWS: u64 = 2_000_000;
const KEYS: u64 = 400_000;

#[test]
fn a_growing_state_survives_kills_at_parallelism_1() {
    check(1, 50);
}

#[test]
fn a_growing_state_survives_kills_at_parallelism_3() {
    check(3, 100);
}

fn check(parallelism: usize, interval_millis: u64) {
    let seed = seed(7 + parallelism as u64);
    // The reference is a run that nobody kills, without a checkpoint, on one worker.
    let undisturbed = tempfile::tempdir().unwrap();
    let path = write_job(undisturbed.path(), 1, None);
    let status = Command::new(env!("CARGO_BIN_EXE_floodmark"))
        .arg("run")
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let expected = committed(undisturbed.path());
    assert!(expected.len() as u64 > KEYS * 9 / 10);

    let folder = tempfile::tempdir().unwrap();
    let path = write_job(folder.path(), parallelism, Some(interval_millis));
    let seen = kill_again_and_again(folder.path(), &path, interval_millis, seed, || {
        let found = committed(folder.path());
        assert_eq!(found.len(), expected.len(), "seed {seed}");
        assert!(found == expected, "seed {seed}: the results differ");
    });
    assert_eq!(seen.in_flight, 0);
    assert!(seen.streamed_bases > 0, "seed {seed}");
}

fn write_job(folder: &Path, parallelism: usize, interval_millis: Option<u64>) -> PathBuf {
    let interval =
        interval_millis.map_or(String::new(), |millis| format!("interval = '{millis}ms'"));
    let folder_text = folder.display();
    let toml = format!(
        "[job]\n\
         name = 'growing'\n\
         parallelism = {parallelism}\n\
         [checkpoint]\n\
         {interval}\n\
         retain = 2\n\
         storage = '{folder_text}/checkpoints'\n\
         [state]\n\
         directory = '{folder_text}/state'\n\
         local_recovery = true\n\
         [[source]]\n\
         id = 'numbers'\n\
         type = 'generator'\n\
         schema = 'key-value'\n\
         rows = {ROWS}\n\
         keys = {KEYS}\n\
         [[operator]]\n\
         id = 'sums'\n\
         type = 'aggregate'\n\
         input = 'numbers'\n\
         key = ['key']\n\
         emit = 'final'\n\
         [operator.aggregates]\n\
         rows = 'count()'\n\
         sum = 'sum(value)'\n\
         [[sink]]\n\
         id = 'out'\n\
         type = 'file'\n\
         input = 'sums'\n\
         format = 'csv'\n\
         path = '{folder_text}/out'\n"
    );
    let path = folder.join("job.toml");
    fs::write(&path, toml).unwrap();
    path
}

/// All lines that the sink has finished, sorted.
fn committed(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder.join("out")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(path).unwrap();
        lines.extend(text.lines().skip(1).map(str::to_owned));
    }
    lines.sort_unstable();
    lines
}
