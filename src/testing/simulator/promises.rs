//! What must hold during a run and at its end.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::path::Path;

use super::outside::check_is_durable;
use super::process::Process;
use super::shelf::Fate;
use super::simulation::{Checked, Simulation, told};
use crate::model::{CheckpointId, hash_key};
use crate::snapshot::{CheckpointStore, Manifest, Recovery};

impl Simulation {
    /// A checkpoint is complete when its manifest is durable, and ids only grow.
    pub(super) fn check_completed(&mut self, checkpoint: CheckpointId) -> Checked<()> {
        if self.newest >= Some(checkpoint) {
            return Err(format!("{checkpoint} is complete after {:?}", self.newest));
        }
        self.newest = Some(checkpoint);
        check_is_durable(&self.disk, checkpoint)
            .map_err(|violation| format!("{checkpoint} counts as complete, but {violation}"))?;
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let manifest = self.runtime.block_on(store.manifest(checkpoint));
        match manifest {
            Ok(manifest) => self.note_positions(&manifest),
            // A later one can have superseded it already.
            Err(_) => Ok(()),
        }
    }

    /// Notes how far the sources were read in a checkpoint. Of one that had ended before, nothing is left in there.
    pub(super) fn note_positions(&mut self, manifest: &Manifest) -> Checked<()> {
        let found = self.scenario.recipe.positions(manifest)?;
        self.positions.resize(found.len(), None);
        for (known, found) in self.positions.iter_mut().zip(found) {
            if found.is_some() {
                *known = found;
            }
        }
        Ok(())
    }

    /// A process that has lost the job hears only of checkpoints that its successor could go on from.
    pub(super) fn check_completed_by_former_owner(&self, checkpoint: CheckpointId) -> Checked<()> {
        match self.last_recovered {
            Some(recovered) if recovered < checkpoint => Err(format!(
                "a process that has lost the job completes {checkpoint} behind {recovered}"
            )),
            _ => Ok(()),
        }
    }

    /// What is gone on from is the newest complete checkpoint or one that is newer still, nothing is damaged, and no id
    /// is used twice of which there is a trace.
    pub(super) fn check_recovery(&self, process: &Process, recovery: &Recovery) -> Checked<()> {
        let found = recovery.checkpoint.as_ref();
        let found = found.map(|loaded| loaded.manifest().checkpoint);
        let next = recovery.next_id();
        let of_folder = |path: &String| {
            let id = path.strip_prefix("job/chk-")?.split('/').next()?;
            id.parse().ok().map(CheckpointId)
        };
        // Who has lost the job makes no folder, but may have been about to make one when it looked.
        let paths = self.disk.paths();
        let folders = paths.iter().filter(|_| !process.has_taken_over);
        let highest = folders.filter_map(of_folder).max();
        let highest = highest.max(self.newest).max(process.last_triggered);
        if !recovery.damaged.is_empty() {
            Err(format!("damaged: {:?}", recovery.damaged))
        } else if found < self.newest {
            Err(format!(
                "{found:?} is restored, although {:?} was complete",
                self.newest
            ))
        } else if Some(next) <= highest {
            Err(format!(
                "the next checkpoint is {next}, which was used before"
            ))
        } else {
            Ok(())
        }
    }

    /// Everything that a manifest refers to is there. Gives all paths that there is a reason for.
    pub(super) fn check_references(&mut self) -> Checked<BTreeSet<String>> {
        let always = ["job/", "job/shared/", "job/history.json", "job/owner.json"];
        let mut reasons = BTreeSet::from(always.map(str::to_owned));
        let found: BTreeSet<String> = self.disk.paths().into_iter().collect();
        for path in &found {
            let Some(folder) = path.strip_suffix("/manifest.json") else {
                continue;
            };
            let Some(id) = folder.strip_prefix("job/chk-") else {
                continue;
            };
            let objects = self.objects_of(path, id)?;
            if let Some(missing) = objects.iter().find(|object| !found.contains(*object)) {
                return Err(format!("{missing} is gone, and {path} refers to it"));
            }
            reasons.extend(objects.iter().cloned());
            reasons.insert(path.clone());
            reasons.insert(format!("{folder}/"));
        }
        Ok(reasons)
    }

    /// What a manifest refers to. Each is read once, since none ever changes.
    fn objects_of(&mut self, path: &str, id: &str) -> Checked<&[String]> {
        let content = self.disk.content(path).unwrap_or_default();
        let key = (path.to_owned(), hash_key(&content));
        let entry = match self.manifests.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
                let id = id
                    .parse()
                    .map_err(|_| format!("{path} is of no checkpoint"))?;
                let manifest = self.runtime.block_on(store.manifest(CheckpointId(id)));
                let manifest = manifest.map_err(told)?;
                let pieces = manifest.pieces();
                unknown.insert(
                    pieces
                        .map(|piece| format!("job/{}", piece.object))
                        .collect(),
                )
            }
        };
        Ok(entry)
    }

    /// The output is what the input leads to, as far as that was read.
    pub(super) fn check_output(&self) -> Checked<()> {
        if !self.newest_manifest()?.finished {
            return Err("the last checkpoint of a finished job is not a final one".to_owned());
        }
        let recipe = &self.scenario.recipe;
        let expected = match self.is_drained {
            true => recipe.expected_up_to(&self.positions),
            false => recipe.expected(),
        };
        let judged = self.outside.judge(expected);
        judged.map_err(|wrong| format!("the job has finished, but {wrong}"))?;
        self.outside.check_nothing_is_open()
    }

    fn newest_manifest(&self) -> Checked<Manifest> {
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let newest = self.runtime.block_on(store.newest_manifest());
        newest
            .map_err(told)?
            .ok_or_else(|| "a finished job has no checkpoint".to_owned())
    }

    /// There is nothing in the store but the checkpoints that are kept, and nothing beside it but the savepoints of those
    /// who took them, every byte of them sound.
    pub(super) fn check_nothing_is_left_behind(&mut self) -> Checked<()> {
        let mut reasons = self.check_references()?;
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        for listed in self.runtime.block_on(store.list()).map_err(told)? {
            let id = listed.checkpoint;
            listed
                .summary
                .map_err(|damage| format!("checkpoint {id}: {damage}"))?;
        }
        let found: BTreeSet<String> = self.disk.paths().into_iter().collect();
        let is_manifest =
            |path: &&String| path.starts_with("job/") && path.ends_with("/manifest.json");
        let kept = found.iter().filter(is_manifest).count();
        if kept > self.scenario.checkpoint.retain {
            return Err(format!("{kept} checkpoints are kept"));
        }
        reasons.extend(self.savepoints(&found)?);
        let is_excused = |path: &str| self.may_leave_savepoint && path.starts_with("savepoints/");
        let left = found.difference(&reasons).filter(|path| !is_excused(path));
        let left: Vec<_> = left.collect();
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("left behind: {left:?}")),
        }
    }

    /// The paths of all savepoints that may be there.
    fn savepoints(&self, found: &BTreeSet<String>) -> Checked<BTreeSet<String>> {
        let store = CheckpointStore::over(self.disk.store(), "job").map_err(told)?;
        let mut reasons = BTreeSet::from(["savepoints/".to_owned()]);
        for known in self.shelf.savepoints() {
            let manifest = format!("{}/manifest.json", known.folder());
            let is_there = found.contains(&manifest);
            match known.fate {
                Fate::Kept if !is_there => return Err(format!("{} is gone", known.path)),
                Fate::Disposed if is_there => {
                    return Err(format!("{} was disposed of", known.path));
                }
                Fate::HalfDisposed => {
                    let is_of_it = |path: &&String| path.starts_with(known.folder());
                    reasons.extend(found.iter().filter(is_of_it).cloned());
                }
                _ => {}
            }
        }
        let folder = |path: &String| {
            let folder = path.strip_suffix("/manifest.json")?;
            folder.starts_with("savepoints/").then(|| folder.to_owned())
        };
        let others = found.iter().filter(|path| !reasons.contains(*path));
        let others: Vec<String> = others.filter_map(folder).collect();
        for folder in others {
            let path = format!("/simulated/{folder}");
            let loaded = self.runtime.block_on(async {
                let snapshot = store.open_snapshot(&path, Path::new("/")).await?;
                snapshot.load().await
            });
            let loaded = loaded.map_err(told)?;
            reasons.insert(format!("{folder}/"));
            reasons.insert(format!("{folder}/manifest.json"));
            let pieces = loaded.manifest().pieces();
            reasons.extend(pieces.map(|piece| format!("{folder}/{}", piece.object)));
        }
        Ok(reasons)
    }
}
