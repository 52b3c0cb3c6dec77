//! Jobs that fail and are started again in the same process: exactly once all the same, and an end when there is no use.

use std::time::Duration;

use floodmark::config::{RestartSection, RestartStrategyKind};
use floodmark::engine::JobOutcome;

use crate::support::{Fault, How, JobFolder, Place, REASON, Run, TypedJob, expected, sorted};

/// The places that a running job passes.
const AT_WORK: [Place; 8] = [
    Place::SourcePoll,
    Place::OperatorProcess,
    Place::OperatorFinish,
    Place::OperatorSnapshot,
    Place::OperatorCommit,
    Place::SinkWrite,
    Place::SinkSnapshotWork,
    Place::SinkCommitWork,
];

fn at_once(attempts: u32) -> RestartSection {
    RestartSection {
        attempts,
        delay: Duration::ZERO,
        ..RestartSection::of(RestartStrategyKind::FixedDelay)
    }
}

#[test]
fn a_job_that_fails_goes_on_from_its_newest_checkpoint() {
    for place in AT_WORK {
        for how in [How::Error, How::Panic] {
            for parallelism in [1, 2] {
                check_restart(place, how, parallelism);
            }
        }
    }
}

fn check_restart(place: Place, how: How, parallelism: usize) {
    let case = format!("{place:?}, {how:?}, parallelism {parallelism}");
    let job = TypedJob::new();
    let failing = Run {
        restart: at_once(3),
        ..Run::failing(parallelism, Fault::so_often(place, how, 3))
    };
    let started = job.start(&failing);
    let status = started.handle.status();
    let (outcome, _) = started.wait();
    assert!(
        matches!(outcome, JobOutcome::Finished),
        "{case}: {outcome:?}"
    );
    let status = status.snapshot();
    // Both subtasks can fail in one attempt.
    assert!((1..=3).contains(&status.restarts), "{case}: {status:?}");
    let failure = status.last_failure.unwrap();
    assert!(failure.contains(REASON), "{case}: {failure}");
    assert!(sorted(&job.output) == expected(), "{case}");
}

#[test]
fn a_job_that_fails_again_and_again_is_given_up_with_its_story() {
    let job = TypedJob::new();
    let failing = Run {
        restart: at_once(2),
        ..Run::failing(2, Fault::at(Place::SinkWrite, How::Error))
    };
    let error = job.start(&failing).wait_for_failure();
    let message = error.full_message();
    assert!(message.starts_with("operator out: "), "{message}");
    let story = format!("{REASON}; given up after 2 restarts: strategy \"fixed-delay\" allows 2");
    assert!(message.contains(&story), "{message}");
    assert!(job.finish(&Run::new(1)), "it was not resumed");
    assert!(sorted(&job.output) == expected());
}

#[test]
fn a_job_that_fails_before_it_has_run_is_not_started_again() {
    for place in [Place::OperatorMake, Place::OperatorOpen, Place::SinkOpen] {
        let job = TypedJob::new();
        let failing = Run {
            restart: at_once(3),
            ..Run::failing(1, Fault::at(place, How::Error))
        };
        let error = job.start(&failing).wait_for_failure();
        let message = error.full_message();
        assert!(message.ends_with(REASON), "{place:?}: {message}");
    }
}

#[test]
fn a_fresh_run_is_never_continued_from_an_older_one() {
    let job = TypedJob::new();
    // It has a source that the fresh run does not have, so its checkpoint cannot be taken for one of that.
    let older = Run {
        union: true,
        ..Run::new(1)
    };
    job.finish(&older);
    // The source is not held, so that the job can fail before there is a checkpoint of its own.
    let fresh = Run {
        restart: at_once(3),
        fresh: true,
        fault: Fault::so_often(Place::OperatorProcess, How::Error, 1),
        ..Run::new(1)
    };
    job.finish(&fresh);
    assert!(sorted(&job.output) == expected());
}

/// A job file whose one input file has a row that cannot be read.
fn poisoned(restart: &str) -> JobFolder {
    let folder = JobFolder::with_job(&format!(
        "[job]
name = 'poisoned'
[checkpoint]
storage = 'checkpoints'
interval = '1h'
[restart]
{restart}
[[source]]
id = 'in'
type = 'file'
path = 'in/*.csv'
[source.columns]
key = 'string'
value = 'int64'
[[sink]]
id = 'out'
type = 'file'
input = 'in'
format = 'csv'
path = 'out'
"
    ));
    folder.write("in/rows.csv", "key,value\na,1\nb,oops\nc,3\n");
    folder
}

#[test]
fn a_poisoned_row_is_tried_once_more_and_then_reported() {
    let folder = poisoned("initial_backoff = '1ms'");
    let ended = folder.run();
    let log = ended.expect_code(1);
    let problem =
        "operator in: subtask in[0]: in/rows.csv:3: column \"value\": \"oops\" is not an int64";
    assert_eq!(
        log.matches("the job is restarted after the delay").count(),
        1,
        "{log}"
    );
    let end = format!(
        "error: {problem}; given up after 1 restart: it would only fail in the same way again (stop_on_repeat)\n  \
         hint: mend the input, or choose another on_error for the source\n"
    );
    assert!(log.ends_with(&end), "{log}");
    assert_eq!(folder.finished("out"), [""; 0]);

    folder.write("in/rows.csv", "key,value\na,1\nb,2\nc,3\n");
    folder.run().expect_code(0);
    assert_eq!(folder.committed("out", "key,value"), ["a,1", "b,2", "c,3"]);
}

#[test]
fn a_job_that_waits_for_its_restart_ends_at_the_first_signal() {
    let folder = poisoned("initial_backoff = '1h'\nmax_backoff = '1h'");
    let mut process = folder.start();
    process.wait_for_log("the job is restarted after the delay");
    process.signal("INT");
    let ended = process.wait();
    let log = ended.expect_code(130);
    assert!(log.contains("run the job again"), "{log}");
}
