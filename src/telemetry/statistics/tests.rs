use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::model::{CheckpointId, OperatorId, SubtaskId};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn part(index: usize, duration: u64) -> SubtaskReport {
    SubtaskReport {
        subtask: SubtaskId::new(OperatorId::new("sum"), index),
        acknowledged_unix_millis: 1_000 + duration as i64,
        duration: millis(duration),
        start_delay: millis(1),
        alignment: millis(2),
        sync: Duration::from_micros(15),
        r#async: millis(3),
        bytes: 100,
        full_bytes: 1_000,
        in_flight_bytes: 7,
        is_unaligned: false,
        is_finished: false,
    }
}

fn figures(duration: u64) -> CompletedFigures {
    CompletedFigures {
        duration: millis(duration),
        bytes: 250,
        full_bytes: 2_050,
        manifest_bytes: 50,
        path: "file:///checkpoints/job/chk-4".to_owned(),
    }
}

fn failure() -> CheckpointFailure {
    CheckpointFailure {
        reason: "CHECKPOINT_EXPIRED".to_owned(),
        message: Some("too slow".to_owned()),
    }
}

fn trigger(statistics: &mut CheckpointStatistics, id: u64) {
    statistics.triggered(CheckpointId(id), "periodic", false, 2, 1_000);
}

fn ids(statistics: &CheckpointStatistics) -> Vec<u64> {
    statistics.reports().map(|report| report.id.0).collect()
}

#[test]
fn a_report_follows_its_checkpoint_to_the_end() {
    let mut statistics = CheckpointStatistics::new(10);
    let id = CheckpointId(4);
    trigger(&mut statistics, 4);
    statistics.acknowledged(id, part(1, 20));
    statistics.acknowledged(id, part(0, 10));
    // The same state once more.
    statistics.acknowledged(id, part(1, 30));
    let report = statistics.report(id).unwrap().clone();
    assert!(report.is_in_progress());
    assert_eq!((report.bytes, report.full_bytes), (200, 2_000));
    assert_eq!(report.duration, millis(20));
    assert_eq!(report.latest_acknowledged_unix_millis(), Some(1_020));
    assert_eq!(report.in_flight_bytes(), 14);
    assert_eq!(report.longest(|part| part.alignment), Some(millis(2)));
    let order: Vec<usize> = report
        .subtasks
        .iter()
        .map(|part| part.subtask.index)
        .collect();
    assert_eq!(order, [0, 1]);
    assert_eq!(statistics.in_progress_count(), 1);

    statistics.completed(id, figures(40));
    // Nothing that comes afterwards changes the outcome.
    statistics.failed(id, millis(50), failure());
    let report = statistics.latest_completed().unwrap();
    assert_eq!(report.state, CheckpointState::Completed);
    assert_eq!((report.bytes, report.duration), (250, millis(40)));
    assert!(!report.discarded);
    assert_eq!(statistics.latest_failed(), None);
    let expected = CheckpointCounts {
        triggered: 1,
        completed: 1,
        ..CheckpointCounts::default()
    };
    assert_eq!(statistics.counts(), expected);

    statistics.discarded(id);
    assert!(statistics.latest_completed().unwrap().discarded);
    assert!(statistics.report(id).unwrap().discarded);
}

#[test]
fn what_a_subtask_says_too_late_is_kept_without_changing_the_outcome() {
    let mut statistics = CheckpointStatistics::new(10);
    trigger(&mut statistics, 1);
    statistics.failed(CheckpointId(1), millis(500), failure());
    statistics.acknowledged(CheckpointId(1), part(0, 900));
    statistics.acknowledged(CheckpointId(2), part(0, 900));
    let report = statistics.latest_failed().unwrap();
    assert_eq!(report.failure, Some(failure()));
    let report = statistics.report(CheckpointId(1)).unwrap();
    assert_eq!((report.subtasks.len(), report.bytes), (1, 0));
    assert_eq!(report.duration, millis(500));
    assert!(statistics.has_failed(CheckpointId(1)));
    assert!(!statistics.has_failed(CheckpointId(2)));
    assert_eq!(ids(&statistics), [1]);
}

#[test]
fn a_savepoint_is_not_the_latest_checkpoint_and_is_not_discarded() {
    let mut statistics = CheckpointStatistics::new(10);
    statistics.triggered(CheckpointId(1), "savepoint", true, 1, 0);
    statistics.completed(CheckpointId(1), figures(1));
    assert_eq!(statistics.latest_completed(), None);
    assert_eq!(statistics.latest_savepoint().unwrap().id, CheckpointId(1));
}

#[test]
fn the_oldest_reports_go_but_none_that_is_in_progress() {
    let mut statistics = CheckpointStatistics::new(2);
    for id in 1..=4 {
        trigger(&mut statistics, id);
    }
    assert_eq!(ids(&statistics), [1, 2, 3, 4], "all are in progress");
    statistics.failed(CheckpointId(3), millis(5), failure());
    assert_eq!(ids(&statistics), [1, 2, 4]);
    statistics.completed(CheckpointId(1), figures(1));
    statistics.failed(CheckpointId(2), millis(5), failure());
    assert_eq!(ids(&statistics), [2, 4]);
    assert_eq!(statistics.latest_completed().unwrap().id, CheckpointId(1));
}

#[test]
fn the_history_goes_on_in_the_next_process_without_what_had_no_outcome() {
    let mut statistics = CheckpointStatistics::new(10);
    for id in 1..=3 {
        trigger(&mut statistics, id);
    }
    statistics.acknowledged(CheckpointId(1), part(0, 9));
    statistics.completed(CheckpointId(1), figures(9));
    statistics.failed(CheckpointId(2), millis(5), failure());
    let bytes = encode_history(&statistics).unwrap();

    let (counts, reports) = decode_history(&bytes).unwrap();
    let mut next = CheckpointStatistics::new(10);
    next.resume(counts, reports);
    assert_eq!(ids(&next), [1, 2]);
    assert_eq!(next.counts(), statistics.counts());
    assert_eq!(
        next.report(CheckpointId(1)),
        statistics.report(CheckpointId(1))
    );
    assert_eq!(next.latest_completed().unwrap().id, CheckpointId(1));
    assert_eq!(next.latest_failed().unwrap().failure, Some(failure()));
    let mut shorter = CheckpointStatistics::new(1);
    let (counts, reports) = decode_history(&bytes).unwrap();
    shorter.resume(counts, reports);
    assert_eq!(ids(&shorter), [2]);
}

#[test]
fn a_damaged_history_is_an_error_and_never_a_panic() {
    let mut statistics = CheckpointStatistics::new(10);
    trigger(&mut statistics, 1);
    statistics.acknowledged(CheckpointId(1), part(0, 9));
    statistics.completed(CheckpointId(1), figures(9));
    let bytes = encode_history(&statistics).unwrap();
    for length in 0..bytes.len() {
        assert!(decode_history(&bytes[..length]).is_err(), "{length}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let newer = text.replace("\"format_version\":1", "\"format_version\":2");
    let error = decode_history(newer.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("format version 2"), "{error}");
    let open = text.replace("\"completed\",\"trig", "\"in progress\",\"trig");
    let error = decode_history(open.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "checkpoint 1 has no outcome");
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..2_000 {
        let mut damaged = text.clone().into_bytes();
        let place = random.usize(..damaged.len());
        damaged[place] = random.u8(..);
        // Some bytes are figures, which nobody can tell from others.
        let _ = decode_history(&damaged);
    }
}

/// The outcome of a checkpoint as it should be: the first one stays.
fn decide(outcomes: &mut BTreeMap<u64, CheckpointState>, id: u64, state: CheckpointState) {
    if let Some(outcome @ CheckpointState::InProgress) = outcomes.get_mut(&id) {
        *outcome = state;
    }
}

/// Whatever comes in whatever order: the counts add up, the bound holds, and no outcome changes.
#[test]
fn random_events_keep_the_books_balanced() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let reports_max = random.usize(1..6);
        let mut statistics = CheckpointStatistics::new(reports_max);
        let mut outcomes: BTreeMap<u64, CheckpointState> = BTreeMap::new();
        let mut next_id = 1;
        for _ in 0..200 {
            let id = random.u64(1..=next_id);
            match random.u8(..5) {
                0 => {
                    trigger(&mut statistics, next_id);
                    outcomes.insert(next_id, CheckpointState::InProgress);
                    next_id += 1;
                }
                1 => {
                    statistics.completed(CheckpointId(id), figures(1));
                    decide(&mut outcomes, id, CheckpointState::Completed);
                }
                2 => {
                    statistics.failed(CheckpointId(id), millis(1), failure());
                    decide(&mut outcomes, id, CheckpointState::Failed);
                }
                3 => statistics.acknowledged(CheckpointId(id), part(random.usize(..3), 1)),
                _ => statistics.discarded(CheckpointId(id)),
            }
            let counted = |state| outcomes.values().filter(|other| **other == state).count();
            let counts = statistics.counts();
            assert_eq!(counts.triggered, outcomes.len() as u64, "seed {seed}");
            let completed = counted(CheckpointState::Completed) as u64;
            assert_eq!(counts.completed, completed, "seed {seed}");
            let failed = counted(CheckpointState::Failed) as u64;
            assert_eq!(counts.failed, failed, "seed {seed}");
            let in_progress = counted(CheckpointState::InProgress);
            assert_eq!(statistics.in_progress_count(), in_progress, "seed {seed}");
            let kept = statistics.reports().count();
            assert!(kept <= reports_max.max(in_progress), "seed {seed}");
            for report in statistics.reports() {
                assert_eq!(outcomes[&report.id.0], report.state, "seed {seed}");
                assert!(report.subtasks.is_sorted_by_key(|part| part.subtask.index));
            }
        }
    }
}
