//! What a sink of a bucket finds when it is opened, and what it makes of that.

use std::collections::BTreeSet;

use super::parts::{PartNames, STAGED_FOLDER, StoredPart, StoredSinkItem};
use crate::connectors::file::config::ExistingFiles;
use crate::connectors::file::part_numbers::PartNumbers;
use crate::connectors::file::part_recovery::Ownership;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::RestoredOperatorState;
use crate::storage::FileStore;

/// The items of all subtasks.
pub(super) fn restored_items(state: &RestoredOperatorState) -> Result<Vec<StoredSinkItem>> {
    state.items().map(StoredSinkItem::of_value).collect()
}

/// Makes parts visible. They may have been made so before, all of them or some.
pub(super) fn finish(store: &FileStore, names: &PartNames, parts: &[StoredPart]) -> Result<()> {
    for part in parts {
        store.copy(&part.staged, &names.finished(part.part))?;
    }
    // What waits must stay until the copies are there: until then it is all that there is.
    store.delete(parts.iter().map(|part| part.staged.clone()).collect())
}

/// Clears the bucket for a job that starts without a checkpoint. Gives the number of the next part.
pub(super) fn start_fresh(
    store: &FileStore,
    names: &PartNames,
    owner: Ownership,
    existing: ExistingFiles,
) -> Result<u64> {
    let mut next_sequence = 0;
    let mut removed = Vec::new();
    for name in store.list()? {
        if let Some(part) = names.of_finished(&name) {
            match existing {
                // Numbers go on after all that is there, whoever wrote it: a later restore takes higher ones for ours.
                ExistingFiles::Keep => next_sequence = next_sequence.max(part.sequence + 1),
                _ if !owner.owns(part.subtask) => {}
                ExistingFiles::Replace => removed.push(name),
                // A store may go on to list for a while what was deleted.
                ExistingFiles::Fail if store.length(&name)?.is_none() => {}
                ExistingFiles::Fail => {
                    return Err(Error::new(
                        ErrorKind::Configuration,
                        format!(
                            "{} is the output of an earlier run; remove it, choose another place, or set existing = \
                             \"replace\" or \"keep\"",
                            store.address_of(&name)
                        ),
                    ));
                }
            }
        } else if names
            .of_staged(&name)
            .is_some_and(|part| owner.owns(part.subtask))
        {
            removed.push(name);
        }
    }
    store.delete(removed)?;
    Ok(next_sequence)
}

/// Makes visible what the checkpoint holds as pending, and removes whatever came after it. Gives the number of the next
/// part.
pub(super) fn restore(
    store: &FileStore,
    names: &PartNames,
    owner: Ownership,
    items: &[StoredSinkItem],
) -> Result<u64> {
    let mut known = BTreeSet::new();
    for item in items.iter().flat_map(|item| &item.pending) {
        let part = names.of_item(item)?;
        // A part is looked after by the owner of its name, whoever's item it is in.
        if owner.owns(part.part.subtask) {
            complete(store, names, &part)?;
            known.insert(part.part);
        }
    }
    let numbers = items.iter().map(|item| (item.subtask, item.next_seq));
    let numbers: PartNumbers = numbers.collect();
    let mut removed = Vec::new();
    for name in store.list()? {
        if name.starts_with(STAGED_FOLDER) {
            let staged = names.of_staged(&name);
            removed.extend(staged.filter(|part| owner.owns(part.subtask)).map(|_| name));
            continue;
        }
        let Some(part) = names.of_finished(&name) else {
            continue;
        };
        if numbers.is_later(part) && owner.owns(part.subtask) && !known.contains(&part) {
            tracing::warn!(
                object = store.address_of(&name),
                "a finished file is removed: it was begun after the checkpoint that is restored"
            );
            removed.push(name);
        }
    }
    store.delete(removed)?;
    Ok(numbers.next_of_all())
}

/// Makes a part visible that the checkpoint holds as pending.
fn complete(store: &FileStore, names: &PartNames, part: &StoredPart) -> Result<()> {
    match store.length(&part.staged)? {
        Some(length) if length == part.length => {
            return finish(store, names, std::slice::from_ref(part));
        }
        Some(length) => {
            let problem = format!("has {length} bytes instead of {}", part.length);
            return Err(lost(store, &part.staged, &problem));
        }
        None => {}
    }
    let finished = names.finished(part.part);
    match store.length(&finished)? {
        Some(length) if length == part.length => Ok(()),
        Some(length) => {
            let problem = format!("has {length} bytes instead of {}", part.length);
            Err(lost(store, &finished, &problem))
        }
        None => Err(lost(store, &finished, "is gone")),
    }
}

fn lost(store: &FileStore, name: &str, problem: &str) -> Error {
    Error::new(
        ErrorKind::Environment,
        format!(
            "{} belongs to the checkpoint that is restored, and {problem}; put it back, choose another checkpoint, or \
             start afresh",
            store.address_of(name)
        ),
    )
}
