//! The names of stored objects.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checksum::Checksum;
use super::paths::{checkpoint_folder_name, checkpoint_of_folder_name};
use crate::model::{CheckpointId, SubtaskId};

/// The folder of all objects that checkpoints share, below the job's own.
pub(super) const SHARED_FOLDER: &str = "shared";

/// Longer operator ids are cut, so that a file name stays below the 255 bytes that file systems allow.
const OPERATOR_LENGTH_MAX: usize = 64;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// One base of one state.
    Base,
    /// The deltas of all states of a subtask that one checkpoint brought.
    Delta,
}

impl ObjectKind {
    fn suffix(self) -> &'static str {
        match self {
            Self::Base => ".base",
            Self::Delta => ".delta",
        }
    }
}

/// What the name of an object ends with that holds operator state.
const OPERATOR_STATE_SUFFIX: &str = ".state";

/// What the name of an object ends with that holds what was in flight.
const IN_FLIGHT_SUFFIX: &str = ".inflight";

/// The name of an object, relative to the job's folder: `shared/<id>.base` or `shared/<id>.delta`, or, of what belongs
/// to one checkpoint alone, `chk-<id>/<operator>-<subtask>.state` or `.inflight`. A savepoint names its objects relative to its own
/// folder, in which all of them lie: `<id>.base`, `<id>.delta`, `<operator>-<subtask>.state` or `.inflight`.
///
/// A name is never used twice. A shared one says which checkpoint, subtask and process wrote the object; for the others
/// it is enough that a checkpoint's id is never used twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(Arc<str>);

impl ObjectName {
    /// The name of the `ordinal`-th object of its kind that `subtask` writes for `checkpoint`. `nonce` is a number
    /// that no other process of this job has drawn.
    pub fn new(
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        nonce: u64,
        ordinal: usize,
        kind: ObjectKind,
    ) -> Self {
        let operator = file_name_part(subtask.operator.as_str());
        let index = subtask.index;
        let suffix = kind.suffix();
        let name = format!("{checkpoint}-{operator}-{index}-{nonce:016x}-{ordinal}{suffix}");
        Self(format!("{SHARED_FOLDER}/{name}").into())
    }

    /// The name of the `number`-th base of `subtask` that is stored before it is known which checkpoint it will belong to. No
    /// checkpoint has the id in it.
    pub fn of_streamed_base(subtask: &SubtaskId, nonce: u64, number: usize) -> Self {
        Self::new(CheckpointId(0), subtask, nonce, number, ObjectKind::Base)
    }

    /// The name of the object that holds the operator state of `subtask`, in the folder of `checkpoint`.
    pub fn of_operator_state(checkpoint: CheckpointId, subtask: &SubtaskId) -> Self {
        Self::in_folder(checkpoint, subtask, OPERATOR_STATE_SUFFIX)
    }

    /// The name of the object that holds what was in flight to `subtask`, in the folder of `checkpoint`.
    pub fn of_in_flight(checkpoint: CheckpointId, subtask: &SubtaskId) -> Self {
        Self::in_folder(checkpoint, subtask, IN_FLIGHT_SUFFIX)
    }

    fn in_folder(checkpoint: CheckpointId, subtask: &SubtaskId, suffix: &str) -> Self {
        let folder = checkpoint_folder_name(checkpoint);
        let operator = file_name_part(subtask.operator.as_str());
        let index = subtask.index;
        Self(format!("{folder}/{operator}-{index}{suffix}").into())
    }

    /// Whether checkpoints can share the object. One that they cannot share goes with its checkpoint's folder.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.split_once('/'), Some((SHARED_FOLDER, _)))
    }

    /// The name of the object in the file `file_name` of the shared folder, if an object can have that name.
    pub fn from_file_name(file_name: &str) -> Option<Self> {
        let stem = [ObjectKind::Base, ObjectKind::Delta]
            .iter()
            .find_map(|kind| file_name.strip_suffix(kind.suffix()))?;
        is_harmless(stem).then(|| Self(format!("{SHARED_FOLDER}/{file_name}").into()))
    }

    /// The name of the object in the file `file_name` of a checkpoint's folder, if an object can have that name.
    fn from_checkpoint_folder(folder_name: &str, file_name: &str) -> Option<Self> {
        checkpoint_of_folder_name(folder_name)?;
        let stem = [OPERATOR_STATE_SUFFIX, IN_FLIGHT_SUFFIX]
            .iter()
            .find_map(|suffix| file_name.strip_suffix(suffix))?;
        is_harmless(stem).then(|| Self(format!("{folder_name}/{file_name}").into()))
    }

    /// The name that a copy of the object has in a savepoint.
    pub fn in_savepoint(&self) -> Self {
        Self(self.file_name().into())
    }

    /// The name that a copy of the object has in the job's own folder, as the `ordinal`-th copy for `checkpoint`.
    /// `subtask` is one that needs it, and `nonce` a number that no other process of this job has drawn.
    pub fn in_job(
        &self,
        checkpoint: CheckpointId,
        subtask: &SubtaskId,
        nonce: u64,
        ordinal: usize,
    ) -> Self {
        let file_name = self.file_name();
        let kind = [ObjectKind::Base, ObjectKind::Delta]
            .into_iter()
            .find(|kind| file_name.ends_with(kind.suffix()));
        match kind {
            Some(kind) => Self::new(checkpoint, subtask, nonce, ordinal, kind),
            // Of these each checkpoint has its own, in its own folder.
            None => Self(format!("{}/{file_name}", checkpoint_folder_name(checkpoint)).into()),
        }
    }

    fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// The name of the object in the file `file_name` beside a savepoint's manifest, if an object can have that name.
    fn of_savepoint(file_name: &str) -> Option<Self> {
        let shared = Self::from_file_name(file_name).is_some();
        let own = [OPERATOR_STATE_SUFFIX, IN_FLIGHT_SUFFIX]
            .iter()
            .find_map(|suffix| file_name.strip_suffix(suffix));
        (shared || own.is_some_and(is_harmless)).then(|| Self(file_name.into()))
    }

    /// The checkpoint for which the object was written, if the name says so.
    pub fn checkpoint(&self) -> Option<CheckpointId> {
        let (folder_name, file_name) = self.0.split_once('/').unwrap_or(("", &self.0));
        if let Some(checkpoint) = checkpoint_of_folder_name(folder_name) {
            return Some(checkpoint);
        }
        let (id, _) = file_name.split_once('-')?;
        id.parse().ok().map(CheckpointId)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl TryFrom<String> for ObjectName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = match text.split_once('/') {
            Some((SHARED_FOLDER, file_name)) => Self::from_file_name(file_name),
            Some((folder_name, file_name)) => Self::from_checkpoint_folder(folder_name, file_name),
            None => Self::of_savepoint(&text),
        };
        name.ok_or_else(|| format!("\"{text}\" is not the name of an object"))
    }
}

/// Whether a file's name without its suffix leads to no other folder.
fn is_harmless(stem: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !stem.is_empty() && stem.bytes().all(harmless)
}

/// The operator's id when a file name can hold it; otherwise what a file name can hold of it, and a checksum that
/// keeps two such ids apart.
fn file_name_part(operator: &str) -> String {
    let part: String = operator
        .chars()
        .take(OPERATOR_LENGTH_MAX)
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => letter,
            _ => '_',
        })
        .collect();
    if part == operator {
        part
    } else {
        format!("{part}-{:016x}", Checksum::of(operator.as_bytes()).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(operator: &str) -> ObjectName {
        let subtask = SubtaskId::new(operator.into(), 3);
        ObjectName::new(CheckpointId(17), &subtask, 0xbeef, 0, ObjectKind::Delta)
    }

    #[test]
    fn a_name_says_who_wrote_the_object_and_for_which_checkpoint() {
        let name = name_of("by_carrier");
        assert_eq!(
            name.as_str(),
            "shared/17-by_carrier-3-000000000000beef-0.delta"
        );
        assert_eq!(name.checkpoint(), Some(CheckpointId(17)));
        assert!(name.is_shared());
        assert_eq!(ObjectName::try_from(name.to_string()), Ok(name));
    }

    #[test]
    fn operator_state_lies_in_the_folder_of_its_checkpoint() {
        let subtask = SubtaskId::new("a/b".into(), 3);
        let name = ObjectName::of_operator_state(CheckpointId(17), &subtask);
        let expected = format!("chk-17/a_b-{:016x}-3.state", Checksum::of(b"a/b").0);
        assert_eq!(name.as_str(), expected);
        assert_eq!(name.checkpoint(), Some(CheckpointId(17)));
        assert!(!name.is_shared());
        assert_eq!(ObjectName::try_from(name.to_string()), Ok(name));
    }

    #[test]
    fn the_objects_of_a_savepoint_lie_beside_its_manifest() {
        for (text, checkpoint) in [
            ("17-by_carrier-3-000000000000beef-0.delta", Some(17)),
            ("17-by_carrier-3-000000000000beef-0.base", Some(17)),
            ("by_carrier-3.state", None),
            ("by_carrier-3.inflight", None),
        ] {
            let name = ObjectName::try_from(text.to_owned()).unwrap();
            assert!(!name.is_shared(), "{text}");
            assert_eq!(name.checkpoint(), checkpoint.map(CheckpointId), "{text}");
        }
    }

    #[test]
    fn copies_in_a_savepoint_and_in_another_job_have_names_that_can_be_read() {
        let subtask = SubtaskId::new("by_carrier".into(), 3);
        for (name, copy) in [
            (
                name_of("by_carrier"),
                "shared/40-by_carrier-3-0000000000000001-5.delta",
            ),
            (
                ObjectName::of_operator_state(CheckpointId(17), &subtask),
                "chk-40/by_carrier-3.state",
            ),
            (
                ObjectName::of_in_flight(CheckpointId(17), &subtask),
                "chk-40/by_carrier-3.inflight",
            ),
        ] {
            let in_savepoint = name.in_savepoint();
            assert_eq!(
                ObjectName::try_from(in_savepoint.to_string()),
                Ok(in_savepoint.clone())
            );
            let in_job = in_savepoint.in_job(CheckpointId(40), &subtask, 1, 5);
            assert_eq!(in_job.as_str(), copy);
            assert_eq!(ObjectName::try_from(in_job.to_string()), Ok(in_job));
        }
    }

    #[test]
    fn operators_with_odd_ids_get_names_that_are_safe_and_differ() {
        let long = "x".repeat(300);
        let names = ["a/b", "a b", "../up", "é", long.as_str(), &long[1..]].map(name_of);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(ObjectName::try_from(name.to_string()).as_ref(), Ok(name));
            assert!(name.as_str().len() < 200, "{name}");
            assert!(!names[..index].contains(name), "{name}");
        }
    }

    #[test]
    fn a_text_that_leads_elsewhere_is_not_a_name() {
        for text in [
            "",
            "shared/",
            "shared/.delta",
            "shared/../1-a-0.delta",
            "/shared/1-a-0.delta",
            "shared/sub/1-a-0.delta",
            "shared/1-a-0.txt",
            "shared/a-0.state",
            "elsewhere/1-a-0.delta",
            "chk-1/a-0.delta",
            "chk-1/.state",
            "chk-1/../a-0.state",
            "chk-01/a-0.state",
            "chk-/a-0.state",
            "manifest.json",
            ".state",
            "../a-0.state",
        ] {
            assert!(ObjectName::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
