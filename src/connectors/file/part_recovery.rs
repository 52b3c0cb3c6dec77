//! Brings a sink's folder to what a checkpoint says, or to what a fresh start needs.
//!
//! Every subtask does this at the same time as the others, so each touches only the files of its own: those that were
//! begun by a subtask whose index, modulo the present parallelism, is its own.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::ExistingFiles;
use super::part::{Part, PartFolder, PartState, failure};
use super::part_numbers::PartNumbers;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::RestoredOperatorState;

/// What a checkpoint knows about one sink subtask: its item of operator state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SinkItem {
    pub(super) subtask: usize,
    /// The number that the subtask's next part will have.
    pub(super) next_seq: u64,
    pub(super) in_progress: Option<PartItem>,
    pub(super) pending: Vec<PartItem>,
}

/// A part file as a checkpoint knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartItem {
    /// The name that the file has when it is finished.
    pub(super) name: String,
    /// How many of its bytes the checkpoint covers.
    pub(super) length: u64,
}

/// Which subtask looks after which files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ownership {
    pub(super) subtask: usize,
    pub(super) parallelism: usize,
}

/// What a subtask begins with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) next_sequence: u64,
    /// A part of its own to go on with, and its length.
    pub(super) in_progress: Option<(Part, u64)>,
    /// Parts that subtasks which are no more had in progress, with their lengths: they become pending as they are.
    pub(super) closed: Vec<(Part, u64)>,
}

/// The part files that a checkpoint knows, by what it says about them.
struct Known {
    folder: PartFolder,
    items: Vec<SinkItem>,
    numbers: PartNumbers,
}

/// Clears the folder for a job that starts without a checkpoint.
pub(super) fn start_fresh(
    folder: &PartFolder,
    owner: Ownership,
    existing: ExistingFiles,
) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    for (part, state) in folder.list()? {
        match (state, existing) {
            (PartState::Finished, ExistingFiles::Keep) => {
                // Numbers go on after all that is there, whoever wrote it: a later restore takes higher ones for ours.
                recovered.next_sequence = recovered.next_sequence.max(part.sequence + 1);
            }
            _ if !owner.owns(part.subtask) => {}
            (PartState::Finished, ExistingFiles::Fail) => {
                let path = folder.path_of(part, state);
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "{} is the output of an earlier run; remove it, choose another folder, or set existing = \
                         \"replace\" or \"keep\"",
                        path.display()
                    ),
                ));
            }
            _ => folder.remove(part, state)?,
        }
    }
    Ok(recovered)
}

/// Commits what the checkpoint holds as pending, cuts what it holds as in progress back to its length, and removes
/// whatever came after it.
pub(super) fn restore(
    folder: &PartFolder,
    owner: Ownership,
    items: Vec<SinkItem>,
) -> Result<Recovered> {
    let known = Known::new(folder.clone(), items);
    let mut recovered = Recovered {
        next_sequence: known.numbers.next_of_all(),
        ..Recovered::default()
    };
    let mut kept = BTreeSet::new();
    // A file is looked after by the owner of its name, not of the item: a subtask's item can hold files that another
    // subtask had in progress before the parallelism changed.
    for (part, length) in known.parts(|item| item.pending.iter())? {
        if owner.owns(part.subtask) {
            known.finish(part, length)?;
            kept.insert(part);
        }
    }
    for (part, length) in known.parts(|item| item.in_progress.iter())? {
        if !owner.owns(part.subtask) {
            continue;
        }
        known.take_back(part, length)?;
        kept.insert(part);
        if part.subtask == owner.subtask {
            recovered.in_progress = Some((part, length));
        } else {
            recovered.closed.push((part, length));
        }
    }
    known.remove_later(owner, &kept)?;
    Ok(recovered)
}

/// The items of all subtasks.
pub(super) fn restored_items(state: &RestoredOperatorState) -> Result<Vec<SinkItem>> {
    let read = |value: &Value| {
        SinkItem::deserialize(value).map_err(|error| {
            let message = format!("the checkpoint's sink state {value} cannot be read");
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    };
    state.items().map(read).collect()
}

impl Ownership {
    /// Whether files that subtask `writer` has begun are this subtask's to look after.
    pub(super) fn owns(self, writer: usize) -> bool {
        writer % self.parallelism == self.subtask
    }
}

impl Known {
    fn new(folder: PartFolder, items: Vec<SinkItem>) -> Self {
        let numbers = items.iter().map(|item| (item.subtask, item.next_seq));
        Self {
            folder,
            numbers: numbers.collect(),
            items,
        }
    }

    /// The parts that `select` takes from the items, with their lengths.
    fn parts<'a, I: Iterator<Item = &'a PartItem>>(
        &'a self,
        select: impl Fn(&'a SinkItem) -> I,
    ) -> Result<Vec<(Part, u64)>> {
        let selected = self.items.iter().flat_map(select);
        selected.map(|item| self.part(item)).collect()
    }

    fn part(&self, item: &PartItem) -> Result<(Part, u64)> {
        Ok((Part::of_item(&item.name, self.folder.format)?, item.length))
    }

    /// Makes a part that the checkpoint holds as pending visible.
    fn finish(&self, part: Part, length: u64) -> Result<()> {
        let path = self.folder.path_of(part, PartState::Finished);
        if fs::metadata(&path).is_ok_and(|finished| finished.len() == length) {
            // A process from which the job was taken over may have begun a file of the same number.
            for state in [PartState::InProgress, PartState::Pending] {
                if self.folder.path_of(part, state).exists() {
                    self.folder.remove(part, state)?;
                }
            }
            return Ok(());
        }
        match self.find(part)? {
            (PartState::InProgress, _) => Err(self.lost(part, "was begun anew after it")),
            (_, found) if found != length => {
                Err(self.lost(part, &format!("has {found} bytes instead of {length}")))
            }
            _ => self.folder.finish(part),
        }
    }

    /// Makes a part in progress, of `length` bytes, out of what a part has become since the checkpoint.
    fn take_back(&self, part: Part, length: u64) -> Result<()> {
        let (state, found) = self.find(part)?;
        if found < length {
            return Err(self.lost(part, &format!("has {found} bytes instead of {length}")));
        }
        if state == PartState::Finished {
            let path = self.folder.path_of(part, state);
            tracing::warn!(
                path = %path.display(),
                "a finished file is taken back: it was finished after the checkpoint that is restored"
            );
        }
        if state != PartState::InProgress {
            self.folder.rename(part, state, PartState::InProgress)?;
        }
        let path = self.folder.path_of(part, PartState::InProgress);
        let cut = || {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            match file.try_lock() {
                // A process from which the job was taken over still has it open, and may go on to write into it.
                Err(TryLockError::WouldBlock) => self.replace(&file, part, length),
                _ => file.set_len(length),
            }
        };
        cut().map_err(|error| failure("truncate", &path, error))
    }

    /// Makes another file of the first `length` bytes of a part, which takes its place.
    fn replace(&self, file: &File, part: Part, length: u64) -> io::Result<()> {
        let path = self.folder.path_of(part, PartState::InProgress);
        let mut copy_path = path.clone().into_os_string();
        copy_path.push(".copy");
        let mut copy = File::create(&copy_path)?;
        io::copy(&mut file.take(length), &mut copy)?;
        copy.sync_all()?;
        fs::rename(&copy_path, &path)?;
        File::open(&self.folder.path)?.sync_all()
    }

    fn find(&self, part: Part) -> Result<(PartState, u64)> {
        let found = self.folder.find(part)?;
        found.ok_or_else(|| self.lost(part, "is gone"))
    }

    fn lost(&self, part: Part, problem: &str) -> Error {
        let path = self.folder.path_of(part, PartState::Finished);
        Error::new(
            ErrorKind::Environment,
            format!(
                "{} belongs to the checkpoint that is restored, and {problem}; put the output folder back, choose \
                 another checkpoint, or start afresh",
                path.display()
            ),
        )
    }

    /// Removes parts that were begun after the checkpoint, in whatever state, and parts that were never finished and
    /// that the checkpoint does not know.
    fn remove_later(&self, owner: Ownership, kept: &BTreeSet<Part>) -> Result<()> {
        for (part, state) in self.folder.list()? {
            let is_later = self.numbers.is_later(part);
            if !owner.owns(part.subtask) || kept.contains(&part) {
                continue;
            }
            if state == PartState::Finished {
                if !is_later {
                    continue;
                }
                let path = self.folder.path_of(part, state);
                tracing::warn!(
                    path = %path.display(),
                    "a finished file is removed: it was begun after the checkpoint that is restored"
                );
            }
            self.folder.remove(part, state)?;
        }
        Ok(())
    }
}
