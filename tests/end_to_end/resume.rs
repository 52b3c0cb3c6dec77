//! Stopped jobs that go on: as they were, at another parallelism, or changed in a way that their checkpoint does not
//! allow; and what becomes of the output of an earlier run.

use std::fs;

use crate::support::{JobFolder, Sums};

#[test]
fn a_job_that_is_stopped_by_a_signal_goes_on_exactly_once() {
    for signal in ["TERM", "INT"] {
        let folder = JobFolder::with_job(&Sums::slow().toml());
        let mut process = folder.start();
        process.wait_for_stdout();
        process.signal(signal);
        let ended = process.wait();
        let log = ended.expect_code(0);
        assert!(
            log.contains(&format!("SIG{signal}: taking a last checkpoint")),
            "{log}"
        );
        assert!(
            log.contains("stopped: run the job again to go on from here"),
            "{log}"
        );
        finish(&folder, Sums::fast());
    }
}

#[test]
fn a_job_goes_on_at_another_parallelism_exactly_once() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    for parallelism in [1, 3, 2] {
        folder.write(
            "job.toml",
            &Sums {
                parallelism,
                ..Sums::slow()
            }
            .toml(),
        );
        folder.run_a_little();
    }
    folder.write("job.toml", &Sums::fast().toml());
    let ended = folder.floodmark(&["run", "job.toml", "--parallelism", "4"]);
    ended.expect_code(0);
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
}

#[test]
fn a_finished_job_changes_nothing_when_it_is_run_again() {
    let folder = JobFolder::with_job(&Sums::fast().toml());
    folder.run().expect_code(0);
    let before = folder.files("out");
    for parallelism in ["2", "3", "1"] {
        let ended = folder.floodmark(&["run", "job.toml", "--parallelism", parallelism]);
        let log = ended.expect_code(0);
        assert!(
            log.contains("the job had already finished, nothing is left to do"),
            "{log}"
        );
        assert!(folder.files("out") == before, "the output has changed");
    }
}

#[test]
fn a_fresh_start_does_everything_again() {
    let replacing = Sums {
        existing: "replace",
        ..Sums::fast()
    };
    let folder = JobFolder::with_job(
        &Sums {
            existing: "replace",
            ..Sums::slow()
        }
        .toml(),
    );
    folder.run_a_little();
    folder.write("job.toml", &replacing.toml());
    for _ in 0..2 {
        let ended = folder.floodmark(&["run", "job.toml", "--fresh"]);
        let log = ended.expect_code(0);
        assert!(!log.contains("resumed"), "{log}");
        assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
    }
}

#[test]
fn a_fresh_start_refuses_keeps_or_replaces_the_output_of_an_earlier_run() {
    let run = |folder: &JobFolder, existing| {
        folder.write(
            "job.toml",
            &Sums {
                existing,
                ..Sums::fast()
            }
            .toml(),
        );
        folder.floodmark(&["run", "job.toml", "--fresh"])
    };
    let folder = JobFolder::new();
    run(&folder, "fail").expect_code(0);
    let first = folder.files("out");

    let ended = run(&folder, "fail");
    let log = ended.expect_code(2);
    assert!(log.contains("operator out: "), "{log}");
    assert!(log.contains("is the output of an earlier run"), "{log}");
    assert!(log.contains("existing = \"replace\" or \"keep\""), "{log}");
    assert!(folder.files("out") == first, "the output has changed");

    run(&folder, "keep").expect_code(0);
    let twice: Vec<_> = folder.files("out");
    assert!(
        first.iter().all(|file| twice.contains(file)),
        "the earlier output has changed"
    );
    let mut expected = [Sums::expected(), Sums::expected()].concat();
    expected.sort_unstable();
    assert!(folder.committed("out", Sums::HEADER) == expected);

    run(&folder, "replace").expect_code(0);
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
}

#[test]
fn an_operator_whose_state_is_in_the_checkpoint_cannot_be_taken_out() {
    check_change(
        |job| {
            job.replace("id = 'sums'", "id = 'totals'")
                .replace("input = 'sums'", "input = 'totals'")
        },
        &[
            "checkpoint 1 holds state of operators",
            "\"sums\"",
            "--allow-non-restored-state",
        ],
    );
}

#[test]
fn aggregates_that_the_checkpoint_does_not_hold_are_refused() {
    for aggregates in [
        "count = 'count()'\nsum = 'max(value)'",
        "count = 'count()'\nsum = 'sum(value)'\nmore = 'count()'",
        "sum = 'sum(value)'",
    ] {
        let toml = Sums {
            aggregates,
            ..Sums::fast()
        }
        .toml();
        check_change(|_| toml.clone(), &["operator sums: ", "--fresh"]);
    }
}

#[test]
fn another_number_of_key_groups_is_refused() {
    check_change(
        |job| job.replace("parallelism = 2", "parallelism = 2\nmax_parallelism = 64"),
        &[
            "max_parallelism is 64, but checkpoint 1 was taken with 128",
            "--fresh",
        ],
    );
}

/// Stops the job, changes its file, and expects that it cannot go on: with an error that contains all of `expected`,
/// and without any harm, so that it can with its old file.
fn check_change(change: impl Fn(String) -> String, expected: &[&str]) {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    folder.run_a_little();
    let before = folder.files("out");
    let unchanged = Sums::fast().toml();
    let changed = change(unchanged.clone());
    assert_ne!(changed, unchanged);
    folder.write("job.toml", &changed);
    let ended = folder.run();
    let log = ended.expect_code(2);
    let error = log.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no error in:\n{log}"));
    for expected in expected {
        assert!(error.contains(expected), "{expected:?} in {error}");
    }
    assert!(folder.files("out") == before, "the output has changed");
    finish(&folder, Sums::fast());
}

/// Runs the job to its end.
fn finish(folder: &JobFolder, job: Sums) {
    folder.write("job.toml", &job.toml());
    let ended = folder.run();
    let log = ended.expect_code(0);
    assert!(
        log.contains("the job is resumed from a checkpoint"),
        "{log}"
    );
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
    assert!(!fs::exists(folder.path("state")).unwrap() || folder.files("state").is_empty());
}
