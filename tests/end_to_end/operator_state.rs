//! List, union list and broadcast state through crashes and changes of the parallelism.

use std::fs;
use std::path::Path;

use floodmark::engine::JobOutcome;
use floodmark::error::ErrorKind;

use crate::support::{CensusJob, Registers};

#[test]
fn operator_state_survives_crashes_at_any_parallelism_exactly_once() {
    for [crashes @ .., last] in [[1, 1, 1, 1], [2, 3, 3, 4], [4, 1, 2, 3]] {
        let job = CensusJob::new();
        for parallelism in crashes {
            job.crash(parallelism);
        }
        let outcome = job.run(last, Registers::All);
        assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
        assert!(
            job.facts() == CensusJob::expected(last),
            "after crashes at {crashes:?}, at {last}: {:?}",
            job.facts()
        );
    }
}

#[test]
fn operator_state_lies_in_the_folders_of_the_retained_checkpoints_alone() {
    let job = CensusJob::new();
    job.run(2, Registers::All);
    let mut folders = 0;
    for entry in fs::read_dir(job.storage()).unwrap() {
        let folder = entry.unwrap().path();
        let files = files(&folder);
        if folder.ends_with("shared") {
            assert!(files.is_empty(), "there is no keyed state: {files:?}");
        } else if files.contains(&"manifest.json".to_owned()) {
            let expected = ["census-0.state", "census-1.state", "manifest.json"];
            assert_eq!(files, expected);
            folders += 1;
        }
    }
    assert_eq!(folders, 1, "so many are retained");
}

#[test]
fn state_that_is_not_registered_again_as_what_it_was_is_refused_by_name() {
    let job = CensusJob::new();
    job.crash(2);
    let check = |registers, expected: &[&str]| {
        let outcome = job.run(2, registers);
        let JobOutcome::Failed(error) = outcome else {
            panic!("{registers:?}: {outcome:?}");
        };
        assert_eq!(error.kind(), ErrorKind::Configuration);
        for part in expected {
            assert!(error.to_string().contains(part), "{part:?} in {error}");
        }
    };
    check(Registers::NoCounts, &["census", ": counts; ", "--fresh"]);
    check(
        Registers::SamplesAsUnionList,
        &[
            "census",
            "operator state \"samples\" was stored as list state of u64",
            "registered as union list state of u64",
        ],
    );
    check(
        Registers::AllUnderAnotherId,
        &[
            "holds state of operators",
            "\"census\"",
            "--allow-non-restored-state",
        ],
    );
    let outcome = job.run(2, Registers::All);
    assert!(matches!(outcome, JobOutcome::Finished), "{outcome:?}");
    assert!(job.facts() == CensusJob::expected(2), "{:?}", job.facts());
}

/// The names of the files in a folder, in order; none of what is no folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
