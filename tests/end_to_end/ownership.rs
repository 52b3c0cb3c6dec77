//! Two real processes and one job: the second is refused, or takes the job over from one that hangs. The first, when it
//! moves again, finds out and commits nothing.

use std::fs;
use std::path::Path;

use crate::support::{JobFolder, Process, Sums};

/// A job that takes checkpoints all the time.
fn job(rate: Option<u64>, roll_interval: &'static str) -> String {
    let sums = Sums {
        rate,
        checkpoint: "interval = '50ms'\nretain = 3",
        console: false,
        roll_interval,
        ..Sums::slow()
    };
    sums.toml()
}

/// The manifests of all complete checkpoints.
fn manifests(folder: &JobFolder) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.path("checkpoints/sums")).unwrap() {
        let path = entry.unwrap().path().join("manifest.json");
        if let Ok(text) = fs::read_to_string(&path) {
            found.push((path.display().to_string(), text));
        }
    }
    found.sort();
    found
}

/// What readers of the output see.
fn output(folder: &JobFolder) -> Vec<(String, Vec<u8>)> {
    let mut files = folder.files("out");
    files.retain(|(name, _)| name.starts_with("part-"));
    files
}

/// All lines that readers see, sorted. A process that was at work when the job was taken from it may have left files that
/// nobody reads.
fn committed(folder: &JobFolder) -> Vec<String> {
    let files = output(folder).into_iter();
    let text = files.map(|(_, content)| String::from_utf8(content).unwrap());
    let mut lines: Vec<String> = text
        .flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    lines.sort_unstable();
    lines
}

fn start(folder: &JobFolder) -> Process {
    let mut process = Process::start(&folder.path("."), &["run", "-v", "job.toml"]);
    for _ in 0..3 {
        process.wait_for_log("checkpoint completed");
    }
    process
}

#[test]
fn a_process_from_which_a_job_was_taken_over_commits_nothing_when_it_wakes_up() {
    // With the longer interval, the file that the first process still writes is one that the second goes on with.
    for roll_interval in ["0s", "1h"] {
        let folder = JobFolder::with_job(&job(Some(2_000), roll_interval));
        let first = start(&folder);
        first.signal("STOP");
        let refused = folder.run();
        let log = refused.expect_code(1);
        let holder = format!(
            "job \"sums\" is already running: process {} holds it",
            first.id()
        );
        assert!(log.contains(&holder), "{log}");
        assert!(log.contains("--take-over"), "{log}");

        folder.write("job.toml", &job(None, roll_interval));
        let second = folder.floodmark(&["run", "job.toml", "--take-over"]);
        let log = second.expect_code(0);
        assert!(
            log.contains("the job is taken from a process that has not ended"),
            "{log}"
        );
        assert!(log.contains("resumed from a checkpoint"), "{log}");
        assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
        let before = (manifests(&folder), output(&folder));

        first.signal("CONT");
        let ended = first.wait();
        let log = ended.expect_code(1);
        assert!(
            log.contains("does not belong to this process any more"),
            "{log}"
        );
        assert!(
            before == (manifests(&folder), output(&folder)),
            "{roll_interval}: it has committed"
        );

        // The job is nobody's now, so nobody need be told to take it over.
        let third = folder.run();
        assert!(
            third
                .expect_code(0)
                .contains("the job had already finished")
        );
    }
}

#[test]
fn a_running_process_ends_when_the_job_is_taken_from_it() {
    let folder = JobFolder::with_job(&job(Some(2_000), "0s"));
    let first = start(&folder);
    let mut second = Process::start(&folder.path("."), &["run", "-v", "job.toml", "--take-over"]);
    let ended = first.wait();
    let log = ended.expect_code(1);
    assert!(
        log.contains("does not belong to this process any more"),
        "{log}"
    );
    assert!(
        log.contains("hint: stop whatever else runs this job"),
        "{log}"
    );
    second.wait_for_log("checkpoint completed");
    second.signal("TERM");
    second.wait().expect_code(0);
    folder.write("job.toml", &job(None, "0s"));
    folder.run().expect_code(0);
    assert!(committed(&folder) == Sums::expected());
}

#[test]
fn a_job_whose_process_was_killed_is_free_at_once() {
    let folder = JobFolder::with_job(&job(Some(2_000), "0s"));
    for generation in 1..=3 {
        start(&folder).kill();
        let owner = fs::read_to_string(folder.path("checkpoints/sums/owner.json")).unwrap();
        let expected = format!("\"generation\": {generation},");
        assert!(owner.contains(&expected), "{owner}");
    }
    assert_eq!(locks(&folder.path("checkpoints/sums")), ["lock-3"]);
}

fn locks(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("lock-")).collect()
}
