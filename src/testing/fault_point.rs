//! The places at which a test can let a job crash, or its store fail.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::runtime::Upcoming;

/// A place on the way of a checkpoint, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultPoint {
    /// `barrier`: the coordinator has triggered a checkpoint, and a subtask is about to hear of it.
    Barrier,
    /// `upload`: a subtask's state is sealed, and its first object is about to be written.
    Upload,
    /// `acknowledgement`: state is durable, and the coordinator is about to hear of it.
    Acknowledgement,
    /// `manifest`: all subtasks have acknowledged, and the manifest is about to be written.
    Manifest,
    /// `manifest-name`: the manifest is written, and about to be given the name that makes the checkpoint complete.
    ManifestName,
    /// `completion`: the manifest is durable, and the coordinator is about to hear of it.
    Completion,
    /// `commit`: the checkpoint is complete, and a subtask is about to commit what it covers.
    Commit,
}

impl FaultPoint {
    /// Every place, in the order in which a checkpoint comes to them.
    pub const ALL: [Self; 7] = [
        Self::Barrier,
        Self::Upload,
        Self::Acknowledgement,
        Self::Manifest,
        Self::ManifestName,
        Self::Completion,
        Self::Commit,
    ];

    /// The place's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Barrier => "barrier",
            Self::Upload => "upload",
            Self::Acknowledgement => "acknowledgement",
            Self::Manifest => "manifest",
            Self::ManifestName => "manifest-name",
            Self::Completion => "completion",
            Self::Commit => "commit",
        }
    }

    /// Whether it is a step of the store, which can fail.
    pub fn is_in_store(self) -> bool {
        matches!(self, Self::Upload | Self::Manifest | Self::ManifestName)
    }

    /// Whether a step of the store, in the words of [`crate::engine::Engine::start_observed`], is this place.
    pub fn is_step(self, step: &str) -> bool {
        match self {
            Self::Upload => step.starts_with("create ") && step.contains("/shared/"),
            Self::Manifest => step.starts_with("create ") && step.contains("/manifest.json"),
            Self::ManifestName => step.starts_with("rename ") && step.contains("/manifest.json"),
            _ => false,
        }
    }

    /// Whether what is about to happen is this place.
    pub(super) fn matches(self, upcoming: Upcoming) -> bool {
        match self {
            Self::Barrier => upcoming == Upcoming::Trigger,
            Self::Acknowledgement => upcoming == Upcoming::Acknowledgement,
            Self::Completion => upcoming == Upcoming::Manifest,
            Self::Commit => upcoming == Upcoming::Complete,
            _ => false,
        }
    }
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for FaultPoint {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|point| point.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let message = format!("there is no fault point \"{name}\"; there are {names}");
            Error::new(ErrorKind::Configuration, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_is_found_by_its_name_and_a_wrong_name_lists_them() {
        for point in FaultPoint::ALL {
            assert_eq!(point.name().parse::<FaultPoint>().unwrap(), point);
        }
        let error = "comit".parse::<FaultPoint>().unwrap_err();
        assert!(
            error.to_string().contains("manifest-name, completion"),
            "{error}"
        );
    }
}
