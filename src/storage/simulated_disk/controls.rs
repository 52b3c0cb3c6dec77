//! What the crate's own tests do with a simulated disk: faults at numbered steps, room, and a look at what is there.

use std::io;
use std::time::Duration;

use fastrand::Rng;

use super::{Fault, SimulatedDisk};
use crate::storage::blob_store::{BlobStore, Retries};

impl SimulatedDisk {
    /// A store on this disk that tries again as often as in production, but without a pause.
    pub(crate) fn stubborn_store(&self) -> BlobStore {
        self.store_with(Retries {
            pause: Duration::ZERO,
            ..Retries::DISK
        })
    }

    /// Makes a folder below the root, as someone does who does not care for power cuts. Where a file lies nothing is made.
    pub(crate) fn make_folder(&self, path: &str) {
        // What comes after it would fail in turn.
        let _ = self.lock().image.make_folder(path);
    }

    /// Everything fails from this step on, and the step is not done.
    pub(crate) fn stop_before(&self, step: usize) {
        self.lock().stop_before = Some(step);
    }

    /// Lets steps go wrong.
    pub(crate) fn fail(&self, steps: impl IntoIterator<Item = usize>, fault: Fault) {
        let faults = steps.into_iter().map(|step| (step, fault));
        self.lock().faults.extend(faults);
    }

    /// All files together can have so many bytes more than now; or as many as they like.
    pub(crate) fn leave_room(&self, bytes: Option<usize>) {
        let mut drive = self.lock();
        drive.room = bytes.map(|bytes| drive.image.used() + bytes);
    }

    /// There is no room for a single byte, whatever is deleted.
    pub(crate) fn fill_up(&self) {
        self.lock().room = Some(0);
    }

    /// Whether removals stand still from now on. Nothing else does.
    pub(crate) fn stall_removals(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Listings lie from now on, as the seed decides; or no more.
    pub(crate) fn lie(&self, seed: Option<u64>) {
        self.lock().liar = seed.map(Rng::with_seed);
    }

    /// What is in a file; nothing when there is none.
    pub(crate) fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().image.read(path).ok()
    }

    /// Somebody deletes a folder with all that is in it, and syncs that.
    pub(crate) fn wipe(&self, path: &str) -> io::Result<()> {
        self.lock().image.wipe(path)
    }

    /// Somebody moves a folder, and syncs that.
    pub(crate) fn relocate(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().image.relocate(from, to)
    }

    /// How many steps there were.
    pub(crate) fn steps(&self) -> usize {
        self.lock().steps.len()
    }

    /// What the last steps were, for messages.
    pub(crate) fn last_steps(&self) -> String {
        let drive = self.lock();
        let first = drive.steps.len().saturating_sub(8);
        drive.steps[first..].join("; ")
    }

    /// The paths of all files, and of all folders with a slash at the end, in order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().image.paths()
    }

    /// What the steps were from this one on.
    pub(crate) fn steps_since(&self, step: usize) -> Vec<String> {
        self.lock().steps[step..].to_vec()
    }

    /// The ids of the checkpoints of a job whose manifests no power cut takes away, in order.
    pub(crate) fn durable_manifests(&self, job: &str) -> Vec<u64> {
        let drive = self.lock();
        let id = |path: &String| -> Option<u64> {
            let folder = path.strip_prefix(job)?.strip_prefix("/chk-")?;
            folder.strip_suffix("/manifest.json")?.parse().ok()
        };
        let paths = drive.image.paths();
        let durable = paths.iter().filter(|path| drive.image.is_durable(path));
        let mut ids: Vec<u64> = durable.filter_map(id).collect();
        ids.sort_unstable();
        ids
    }
}
