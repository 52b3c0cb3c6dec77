//! Whether the operators of a job are those of the snapshot that it is to go on from.

use super::manifest::{Manifest, OperatorEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::model::OperatorId;
use crate::state::state_name;

/// What a start from a snapshot would lose, and what it would leave empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorMismatch {
    /// Operators of the snapshot that hold state and are not in the job, each with its states.
    pub dropped: Vec<(OperatorId, Vec<String>)>,
    /// Operators of the job that are not in the snapshot.
    pub empty: Vec<OperatorId>,
}

impl OperatorMismatch {
    /// Compares a snapshot with the operators of a job.
    pub fn between<'a>(
        manifest: &Manifest,
        operators: impl IntoIterator<Item = &'a OperatorId>,
    ) -> Self {
        let operators: Vec<&OperatorId> = operators.into_iter().collect();
        let unknown = manifest
            .operators
            .iter()
            .filter(|(id, _)| !operators.contains(id));
        let dropped = unknown.map(|(id, entry)| (id.clone(), states(entry)));
        let is_new = |id: &&OperatorId| {
            !manifest.operators.contains_key(*id)
                && manifest.graph.iter().all(|operator| operator.id != **id)
        };
        Self {
            dropped: dropped.filter(|(_, states)| !states.is_empty()).collect(),
            empty: operators.iter().copied().filter(is_new).cloned().collect(),
        }
    }

    /// Refuses to lose state.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], with what would be lost, what would start empty, and what to do about it.
    pub fn refuse_loss(&self, snapshot: &str) -> Result<()> {
        if self.dropped.is_empty() {
            return Ok(());
        }
        let dropped: Vec<String> = self
            .dropped
            .iter()
            .map(|(id, states)| format!("\"{id}\" ({})", states.join(", ")))
            .collect();
        let empty: Vec<String> = self.empty.iter().map(|id| format!("\"{id}\"")).collect();
        let empty = match empty.is_empty() {
            true => String::new(),
            false => format!("; without state in it would start: {}", empty.join(", ")),
        };
        Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "{snapshot} holds state of operators that the job no longer has: {}{empty}; if an operator was renamed, \
                 give it its former id back (id in the job file, or in the builder), or start with \
                 --allow-non-restored-state to drop that state",
                dropped.join(", ")
            ),
        ))
    }
}

/// What state there is in an operator, in words.
fn states(entry: &OperatorEntry) -> Vec<String> {
    let mut states = Vec::new();
    let mut add = |state: String| {
        if !states.contains(&state) {
            states.push(state);
        }
    };
    for subtask in &entry.subtasks {
        for state in &subtask.keyed {
            add(format!("keyed state {}", state_name::of_user(&state.name)));
        }
        for state in &subtask.operator_state {
            add(format!(
                "{} state {}",
                state.descriptor.kind.as_str(),
                state.name
            ));
        }
        for in_flight in &subtask.in_flight {
            add(format!("records in flight from {}", in_flight.input));
        }
        if !subtask.items.is_empty() {
            add("positions or output of its connector".to_owned());
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::test_support::sample_manifest;

    fn between(operators: &[&str]) -> OperatorMismatch {
        let operators: Vec<OperatorId> = operators.iter().map(OperatorId::new).collect();
        OperatorMismatch::between(&sample_manifest(), &operators)
    }

    #[test]
    fn a_renamed_operator_is_named_with_its_state_and_with_what_would_start_empty() {
        assert_eq!(between(&["source", "sum"]), OperatorMismatch::default());
        let mismatch = between(&["source", "total"]);
        let error = mismatch.refuse_loss("checkpoint 17").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(
            error.to_string(),
            "checkpoint 17 holds state of operators that the job no longer has: \"sum\" (keyed state total); without \
             state in it would start: \"total\"; if an operator was renamed, give it its former id back (id in the job \
             file, or in the builder), or start with --allow-non-restored-state to drop that state"
        );
    }

    #[test]
    fn an_operator_that_is_new_is_no_reason_to_refuse() {
        let mismatch = between(&["source", "sum", "new"]);
        assert_eq!(mismatch.empty, ["new".into()]);
        assert!(mismatch.refuse_loss("checkpoint 17").is_ok());
    }

    #[test]
    fn what_a_connector_keeps_is_state_too() {
        let mismatch = between(&["sum"]);
        let states = vec!["positions or output of its connector".to_owned()];
        assert_eq!(mismatch.dropped, [("source".into(), states)]);
    }
}
