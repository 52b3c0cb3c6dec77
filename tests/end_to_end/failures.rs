//! Jobs in which something fails: the operator and the reason are named, everything ends, and the mended job goes on
//! from its last checkpoint with exactly-once output.

use std::fs;

use floodmark::config::CheckpointMode;
use floodmark::engine::JobOutcome;
use floodmark::error::ErrorKind;

use crate::support::{
    Fault, Gate, Hold, How, Place, REASON, Run, TypedJob, expected, expected_of_union, sorted,
};

#[test]
fn a_failing_source_fails_the_job_which_then_resumes() {
    check_faults(&[Place::SourceMake, Place::SourceOpen, Place::SourcePoll]);
}

#[test]
fn an_operator_that_fails_at_the_start_fails_the_job_which_then_runs() {
    check_faults(&[Place::OperatorMake, Place::OperatorOpen]);
}

#[test]
fn an_operator_that_fails_at_work_fails_the_job_which_then_resumes() {
    check_faults(&[Place::OperatorProcess, Place::OperatorFinish]);
}

#[test]
fn an_operator_that_fails_in_a_checkpoint_fails_the_job_which_then_resumes() {
    check_faults(&[Place::OperatorSnapshot, Place::OperatorCommit]);
}

#[test]
fn a_failing_sink_fails_the_job_which_then_resumes() {
    check_faults(&[Place::SinkMake, Place::SinkOpen, Place::SinkWrite]);
}

#[test]
fn a_sink_whose_background_work_fails_fails_the_job_which_then_resumes() {
    check_faults(&[Place::SinkSnapshotWork, Place::SinkCommitWork]);
}

#[test]
fn a_job_that_tolerates_no_failed_checkpoint_fails_with_the_first() {
    check_tolerance(0);
}

#[test]
fn a_job_that_tolerates_one_failed_checkpoint_fails_with_the_second_in_a_row() {
    check_tolerance(1);
}

#[test]
fn a_job_outlives_failed_checkpoints_that_it_tolerates() {
    let job = TypedJob::new();
    let gate = Gate::default();
    let started = job.start(&Run {
        hold: Hold::Gate(gate.clone()),
        tolerable_failures: u32::MAX,
        ..Run::new(2)
    });
    started.wait_for_a_checkpoint();
    let shared = job.storage().join("shared");
    let away = job.storage().join("away");
    fs::rename(&shared, &away).unwrap();
    fs::write(&shared, "in the way").unwrap();
    started.wait_for_a_failed_checkpoint();
    fs::remove_file(&shared).unwrap();
    fs::rename(&away, &shared).unwrap();
    started.wait_for_a_checkpoint();
    gate.open();
    let (outcome, _) = started.wait();
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert!(sorted(&job.output) == expected());
}

#[test]
fn checkpoints_go_on_after_one_of_two_sources_has_ended() {
    for parallelism in [1, 2] {
        let job = TypedJob::new();
        // The gate opens when the second source has ended.
        let run = Run {
            hold: Hold::Checkpoints(3, Gate::default()),
            union: true,
            ..Run::new(parallelism)
        };
        assert!(!job.finish(&run));
        assert!(
            sorted(&job.output) == expected_of_union(parallelism),
            "{parallelism}"
        );
    }
}

#[test]
fn a_source_that_had_ended_before_a_failure_gives_nothing_twice() {
    for parallelism in [1, 2] {
        let job = TypedJob::new();
        let failing = Run {
            hold: Hold::Checkpoints(1, Gate::default()),
            fault: Fault::at(Place::OperatorProcess, How::Error),
            union: true,
            ..Run::new(parallelism)
        };
        job.start(&failing).wait_for_failure();
        let mended = Run {
            union: true,
            ..Run::new(parallelism)
        };
        assert!(job.finish(&mended), "it was not resumed");
        assert!(
            sorted(&job.output) == expected_of_union(parallelism),
            "{parallelism}"
        );
    }
}

#[test]
fn both_readers_of_a_stream_get_everything_once_in_spite_of_a_failure() {
    for parallelism in [1, 2] {
        let job = TypedJob::new();
        let failing = Run {
            fan_out: true,
            ..Run::failing(parallelism, Fault::at(Place::SinkWrite, How::Error))
        };
        job.start(&failing).wait_for_failure();
        let mended = Run {
            fan_out: true,
            ..Run::new(parallelism)
        };
        assert!(job.finish(&mended), "it was not resumed");
        assert!(sorted(&job.output) == expected(), "{parallelism}");
        assert!(sorted(&job.copy) == expected(), "{parallelism}");
    }
}

#[test]
fn an_at_least_once_job_that_does_not_fail_gives_everything_once() {
    for parallelism in [1, 2] {
        let job = TypedJob::new();
        let run = Run {
            hold: Hold::Checkpoints(2, Gate::default()),
            mode: CheckpointMode::AtLeastOnce,
            union: true,
            fan_out: true,
            ..Run::new(parallelism)
        };
        job.finish(&run);
        assert!(
            sorted(&job.output) == expected_of_union(parallelism),
            "{parallelism}"
        );
        assert!(
            sorted(&job.copy) == expected_of_union(parallelism),
            "{parallelism}"
        );
    }
}

/// At least once: every sum that would be there without the failure is there, and the mended job comes to its end.
#[test]
fn an_at_least_once_job_that_fails_loses_nothing() {
    let job = TypedJob::new();
    let failing = Run {
        mode: CheckpointMode::AtLeastOnce,
        ..Run::failing(2, Fault::at(Place::OperatorProcess, How::Error))
    };
    job.start(&failing).wait_for_failure();
    let mended = Run {
        mode: CheckpointMode::AtLeastOnce,
        ..Run::new(2)
    };
    assert!(job.finish(&mended), "it was not resumed");
    let last_of_each_key = |rows: &[(u64, u64)]| {
        let mut last = std::collections::BTreeMap::new();
        last.extend(rows.iter().copied());
        last
    };
    let (found, wanted) = (sorted(&job.output), expected());
    for (key, sum) in last_of_each_key(&wanted) {
        let found = last_of_each_key(&found)[&key];
        assert!(found >= sum, "key {key}: {found} instead of {sum}");
    }
}

/// Takes the folder of shared objects away from a running job, and gives it back when the job has failed. It takes seconds for each
/// checkpoint: the store tries a few times before it gives up.
fn check_tolerance(tolerable_failures: u32) {
    let job = TypedJob::new();
    let started = job.start(&Run {
        hold: Hold::Gate(Gate::default()),
        tolerable_failures,
        ..Run::new(2)
    });
    started.wait_for_a_checkpoint();
    let status = started.handle.status();
    let shared = job.storage().join("shared");
    let away = job.storage().with_file_name("away");
    fs::rename(&shared, &away).unwrap();
    fs::write(&shared, "in the way").unwrap();
    let error = started.wait_for_failure();
    let message = error.full_message();
    assert_eq!(error.kind(), ErrorKind::Environment, "{message}");
    assert!(message.contains("tolerable_failures"), "{message}");
    let failed = status.snapshot().checkpoints_failed;
    assert_eq!(failed, u64::from(tolerable_failures) + 1);

    fs::remove_file(&shared).unwrap();
    fs::rename(&away, &shared).unwrap();
    assert!(job.finish(&Run::new(1)), "it was not resumed");
    assert!(sorted(&job.output) == expected());
}

/// Lets the job fail in each place, in each way and at each parallelism, and mends it.
fn check_faults(places: &[Place]) {
    for place in places {
        for how in [How::Error, How::Panic] {
            for parallelism in [1, 2] {
                check_fault(*place, how, parallelism);
            }
        }
    }
}

fn check_fault(place: Place, how: How, parallelism: usize) {
    let case = format!("{place:?}, {how:?}, parallelism {parallelism}");
    let job = TypedJob::new();
    let failing = Run::failing(parallelism, Fault::at(place, how));
    let error = job.start(&failing).wait_for_failure();
    let message = error.full_message();
    assert_eq!(error.kind(), ErrorKind::Operator, "{case}: {message}");
    let operator = format!("operator {}: ", place.operator());
    assert!(message.starts_with(&operator), "{case}: {message}");
    assert!(message.contains(REASON), "{case}: {message}");

    let resumed = job.finish(&Run::new(parallelism));
    assert_eq!(resumed, !place.is_at_the_start(), "{case}");
    assert!(sorted(&job.output) == expected(), "{case}");
}
