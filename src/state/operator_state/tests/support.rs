//! What these tests share: an operator's subtasks, sealed and restored.

use bytes::Bytes;

use crate::state::{OperatorStateBackend, RestoredSections, SealedOperatorState};

/// What a checkpoint with these seals of all subtasks gives back: each name once, in the order of the names.
pub(super) fn restored(subtasks: &[Vec<SealedOperatorState>]) -> Vec<RestoredSections> {
    let mut names: Vec<&SealedOperatorState> = subtasks.iter().flatten().collect();
    names.sort_by_key(|state| &state.name);
    names.dedup_by_key(|state| &state.name);
    let section_of = |subtask: &Vec<SealedOperatorState>, name: &str| {
        let mut states = subtask.iter();
        let state = states.find(|state| *state.name == *name)?;
        Some(state.section.clone())
    };
    names
        .iter()
        .map(|first| RestoredSections {
            name: first.name.clone(),
            descriptor: first.descriptor.clone(),
            sections: subtasks
                .iter()
                .map(|subtask| section_of(subtask, &first.name))
                .collect(),
        })
        .collect()
}

/// The backends of an operator with this parallelism that is given this back.
pub(super) fn backends(
    parallelism: usize,
    restored: &[RestoredSections],
) -> Vec<OperatorStateBackend> {
    let backend = |subtask| OperatorStateBackend::new(subtask, parallelism, restored.to_vec());
    (0..parallelism).map(backend).collect()
}

/// The section of the only state that a backend has.
pub(super) fn only_section(backend: &OperatorStateBackend) -> Bytes {
    let sealed = backend.seal().unwrap();
    let [state] = &sealed[..] else {
        panic!("expected one state, found {}", sealed.len());
    };
    state.section.clone()
}
