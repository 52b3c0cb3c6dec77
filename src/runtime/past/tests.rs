//! Manifests as tables: who had finished, for good or not, and which changes of a job are refused.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::connectors::{BlackholeSink, MemorySource, RowCount};
use crate::graph::{Stream, StreamBuilder};
use crate::model::CheckpointId;
use crate::snapshot::{
    FORMAT_VERSION, GraphOperator, OperatorStateEntry, Piece, STATE_ENCODING, SnapshotKind,
    SubtaskEntry,
};
use crate::state::OperatorStateDescriptor;
use crate::storage::{Checksum, ObjectName};

/// How far a subtask had come, as the checkpoint says it.
#[derive(Clone, Copy)]
enum Said {
    AtWork,
    /// It had finished, and has something to commit.
    Finished,
    Gone,
}
use Said::{AtWork, Finished, Gone};

fn source(job: &StreamBuilder, id: &str) -> Stream<u64> {
    job.source(id, || MemorySource::of_rows(vec![1_u64], 1))
}

/// `in` by an exchange to `sums`, which is chained with `out`.
fn graph(parallelism: usize) -> JobGraph {
    let job = StreamBuilder::new("job").parallelism(parallelism);
    sums(source(&job, "in"));
    job.build().unwrap()
}

fn sums(input: Stream<u64>) {
    let sums = input
        .key_by(|key| *key)
        .reduce("sums", |_| 0_u64, |row, _| *row);
    sums.sink("out", || Ok(BlackholeSink::new(RowCount::default())));
}

fn manifest(said: &[(&str, &[Said])]) -> Manifest {
    let entry = |(index, said): (usize, &Said)| SubtaskEntry {
        finished: !matches!(said, AtWork),
        items: match said {
            Gone => Vec::new(),
            _ => vec![json!("something")],
        },
        ..SubtaskEntry::finished_for_good(index)
    };
    let operators = said.iter().map(|(operator, said)| {
        let subtasks = said.iter().enumerate().map(entry).collect();
        (OperatorId::new(operator), OperatorEntry { subtasks })
    });
    let of = |id: &str, inputs: &[&str]| GraphOperator {
        id: id.into(),
        type_name: String::new(),
        inputs: inputs.iter().map(OperatorId::new).collect(),
        parallelism: 2,
    };
    Manifest {
        format_version: FORMAT_VERSION,
        floodmark_version: String::new(),
        state_encoding: STATE_ENCODING.to_owned(),
        job: "job".to_owned(),
        checkpoint: CheckpointId(7),
        kind: SnapshotKind::Checkpoint,
        triggered_unix_millis: 0,
        completed_unix_millis: 0,
        max_parallelism: 128,
        finished: false,
        uploaded_bytes: 0,
        started_from: None,
        graph: vec![of("in", &[]), of("sums", &["in"]), of("out", &["sums"])],
        operators: operators.collect::<BTreeMap<_, _>>(),
    }
}

/// What was said of `in`, and of both operators of the chain behind it, and the pasts of the subtasks of both chains then.
fn check(parallelism: usize, input: &[Said], behind: &[Said], expected: [&[Past]; 2]) {
    let graph = graph(parallelism);
    let plan = PhysicalPlan::of(&graph);
    let manifest = manifest(&[("in", input), ("sums", behind), ("out", behind)]);
    let pasts = ChainPasts::new(&graph, &plan, Some(&manifest));
    pasts.check().unwrap();
    let mut gone = BTreeSet::new();
    assert_eq!(pasts.pasts(), expected);
    for (chain, expected) in plan.chains.iter().zip(expected) {
        if expected.contains(&Past::FinishedForGood) {
            let indexes = 0..expected.len();
            gone.extend(indexes.map(|index| SubtaskId::new(chain.id.clone(), index)));
        }
    }
    assert_eq!(pasts.finished_for_good(), gone);
}

#[test]
fn each_subtask_goes_on_from_its_own_past_at_the_same_parallelism() {
    let (at_work, finished, gone) = (Past::AtWork, Past::Finished, Past::FinishedForGood);
    check(2, &[Gone; 2], &[AtWork; 2], [&[gone; 2], &[at_work; 2]]);
    // An unaligned checkpoint can find one of them at its end, and not the other.
    let behind = [AtWork, Finished];
    check(
        2,
        &[Finished; 2],
        &behind,
        [&[finished; 2], &[at_work, finished]],
    );
    check(2, &[Gone; 2], &[Finished; 2], [&[gone; 2], &[finished; 2]]);
    check(2, &[Gone; 2], &[Gone; 2], [&[gone; 2], &[gone; 2]]);
}

#[test]
fn at_another_parallelism_a_chain_had_finished_as_a_whole_or_not() {
    let (at_work, finished, gone) = (Past::AtWork, Past::Finished, Past::FinishedForGood);
    check(1, &[Gone; 2], &[AtWork, Finished], [&[gone], &[at_work]]);
    check(3, &[Gone; 2], &[Finished; 2], [&[gone; 3], &[finished; 3]]);
    check(
        3,
        &[Finished, AtWork],
        &[AtWork; 2],
        [&[at_work; 3], &[at_work; 3]],
    );
}

/// A source of files deals them out anew, and a file that is there by then moves others to a subtask that had finished.
#[test]
fn a_source_of_which_a_subtask_is_at_work_is_at_work_as_a_whole() {
    let at_work = [Past::AtWork; 2];
    check(2, &[Finished, AtWork], &[AtWork; 2], [&at_work, &at_work]);
}

/// In at-least-once mode a subtask can have worked off all input, although records are replayed to it.
#[test]
fn a_subtask_whose_input_had_not_finished_is_at_work_again() {
    let at_work = [Past::AtWork; 2];
    check(2, &[AtWork; 2], &[Finished; 2], [&at_work, &at_work]);
    check(2, &[Finished, AtWork], &[Finished; 2], [&at_work, &at_work]);
    // By a forward edge too, although the subtask before it had finished.
    let job = StreamBuilder::new("job").parallelism(2);
    let input = source(&job, "in");
    for id in ["left", "right"] {
        input.sink(id, || Ok(BlackholeSink::new(RowCount::default())));
    }
    let graph = job.build().unwrap();
    let plan = PhysicalPlan::of(&graph);
    let half = [Finished, AtWork];
    let manifest = manifest(&[("in", &half), ("left", &half), ("right", &half)]);
    let pasts = ChainPasts::new(&graph, &plan, Some(&manifest));
    assert_eq!(pasts.pasts(), [at_work; 3]);
}

#[test]
fn a_job_that_begins_anew_has_no_past() {
    let (graph, none) = (graph(2), None);
    let plan = PhysicalPlan::of(&graph);
    let pasts = ChainPasts::new(&graph, &plan, none);
    pasts.check().unwrap();
    assert!(pasts.finished_for_good().is_empty());
    assert!(
        !plan
            .chains
            .iter()
            .any(|chain| pasts.leaves_finished_behind(chain))
    );
}

#[test]
fn keyed_state_is_of_no_use_once_all_input_has_ended() {
    let graph = graph(3);
    let plan = PhysicalPlan::of(&graph);
    for (input, expected) in [([Finished; 2], true), ([Finished, AtWork], false)] {
        let half = [Finished, AtWork];
        let manifest = manifest(&[("in", &input), ("sums", &half), ("out", &half)]);
        let pasts = ChainPasts::new(&graph, &plan, Some(&manifest));
        let chains = plan.chains.iter();
        let behind = chains.map(|chain| pasts.leaves_finished_behind(chain));
        assert_eq!(behind.collect::<Vec<_>>(), [false, expected]);
    }
}

fn union_list() -> OperatorStateEntry {
    OperatorStateEntry {
        name: "waiting".to_owned(),
        descriptor: OperatorStateDescriptor {
            kind: OperatorStateKind::UnionList,
            version: 1,
            key_schema: None,
            value_schema: "u64".to_owned(),
        },
        piece: Piece {
            object: ObjectName::try_from("chk-7/sums-0.state".to_owned()).unwrap(),
            offset: 0,
            length: 0,
            checksum: Checksum::of(b""),
        },
    }
}

/// Each subtask is given the items of all of a union list, and chooses its own: also of those that were waiting in another
/// one to be given out at the end.
#[test]
fn a_chain_with_a_union_list_had_finished_as_a_whole_or_not_at_all() {
    let graph = graph(2);
    let plan = PhysicalPlan::of(&graph);
    let pasts_of = |behind: &[Said]| {
        let said = [
            ("in", &[Finished; 2][..]),
            ("sums", behind),
            ("out", behind),
        ];
        let mut manifest = manifest(&said);
        let sums = manifest.operators.get_mut(&OperatorId::new("sums"));
        for subtask in &mut sums.unwrap().subtasks {
            subtask.operator_state.push(union_list());
        }
        let pasts = ChainPasts::new(&graph, &plan, Some(&manifest));
        let behind = pasts.leaves_finished_behind(&plan.chains[1]);
        (pasts.pasts()[1].clone(), behind)
    };
    let at_work = (vec![Past::AtWork; 2], true);
    assert_eq!(pasts_of(&[Finished, AtWork]), at_work);
    let finished = (vec![Past::Finished; 2], false);
    assert_eq!(pasts_of(&[Finished; 2]), finished);
}

/// What is said about a job that was changed after `in` had finished, and the chain behind it too.
fn refusal(change: impl FnOnce(&StreamBuilder)) -> String {
    let job = StreamBuilder::new("job").parallelism(2);
    change(&job);
    let graph = job.build().unwrap();
    let plan = PhysicalPlan::of(&graph);
    let all = [
        ("in", &[Gone; 2][..]),
        ("sums", &[Gone; 2]),
        ("out", &[Gone; 2]),
    ];
    let manifest = manifest(&all);
    let error = ChainPasts::new(&graph, &plan, Some(&manifest))
        .check()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    error.to_string()
}

#[test]
fn nothing_new_can_come_to_an_operator_that_had_finished() {
    let advice = "take that change of the job back, or start with --fresh";
    assert_eq!(
        refusal(|job| sums(source(job, "in").map("doubled", |row| row * 2))),
        format!(
            "operator in had worked off all its input in checkpoint 7, but operator doubled had not, and runs in the same \
             chain: {advice}"
        )
    );
    assert_eq!(
        refusal(|job| sums(source(job, "in").union(source(job, "late")))),
        format!(
            "operator sums had worked off all its input in checkpoint 7, but operator late had not, and is now an input \
             of it: {advice}"
        )
    );
}
