//! A disk in memory on which a test can pull the plug.
//!
//! It stands below [`BlobStore`] in the place of the local file system, so everything above it is what production runs.
//! Every change is a numbered *step*: a folder or file made, bytes written, a file or a folder synced, a name taken
//! away. A test can stop the disk before a step, or let a step fail, or leave no room; and it can then see what a power
//! cut leaves, which is one of many outcomes, chosen by a seed.

#[cfg(test)]
mod controls;
mod image;
mod service;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use opendal::Operator;
use tokio::sync::watch;
use tokio::task::yield_now;

use super::blob_store::{BlobStore, Retries};
use super::folder::Folders;
use super::location::StoreLocation;
use image::Image;
use service::SimulatedService;

/// The number that the operating system has for a full disk.
const NO_SPACE_LEFT: i32 = 28;
/// The number that it has for a disk that fails.
const IO_ERROR: i32 = 5;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk {
    drive: Arc<Mutex<Drive>>,
    /// Whether removals stand still.
    stalled: Arc<watch::Sender<bool>>,
}

/// What goes wrong with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "outside of the crate's own tests a step only fails"
    )
)]
pub(crate) enum Fault {
    /// It fails and changes nothing. Of a file whose sync fails, the bytes never reach the disk, even if a later sync
    /// says that they do.
    Undone,
    /// It is done, and an error is the answer all the same.
    Done,
    /// Half of the bytes are written. A step that writes none fails and changes nothing.
    Torn,
}

/// Picks the step, by its description, at which something is to happen once.
type StepFilter = Box<dyn Fn(&str) -> bool + Send>;

#[derive(Default)]
struct Drive {
    image: Image,
    /// What was done, one text for each step.
    steps: Vec<String>,
    stop_before: Option<usize>,
    stopped: bool,
    faults: BTreeMap<usize, Fault>,
    stop_when: Option<StepFilter>,
    fail_when: Option<StepFilter>,
    /// How many bytes all files can have together.
    room: Option<usize>,
    /// What decides on the lies of listings, if they lie.
    liar: Option<Rng>,
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SimulatedDisk")
    }
}

impl SimulatedDisk {
    /// A store on this disk that tries nothing again.
    pub(crate) fn store(&self) -> BlobStore {
        self.store_with(Retries {
            max: 0,
            pause: Duration::ZERO,
            ..Retries::DISK
        })
    }

    fn store_with(&self, retries: Retries) -> BlobStore {
        let service = SimulatedService::on(self.clone());
        #[expect(clippy::expect_used, reason = "the service's builder gives itself")]
        let operator = Operator::new(service).expect("a service in memory can be made");
        let folders = Arc::new(self.clone());
        let root = StoreLocation::of_folder("/simulated");
        BlobStore::on_disk(operator, folders, root, retries)
    }

    /// Everything fails from the first step on that the filter picks, and the step is not done.
    pub(crate) fn stop_when(&self, filter: StepFilter) {
        self.lock().stop_when = Some(filter);
    }

    /// The first step fails that the filter picks, and changes nothing.
    pub(crate) fn fail_when(&self, filter: StepFilter) {
        self.lock().fail_when = Some(filter);
    }

    /// Whether the step to stop before has come.
    pub(crate) fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// The disk as the next process finds it when only this one has died: nothing is lost, and nothing is synced that
    /// was not.
    pub(crate) fn after_kill(&self) -> Self {
        Self::holding(self.lock().image.clone())
    }

    /// The disk as it is after a power cut: of what was not synced, each part is there or not.
    pub(crate) fn after_power_cut(&self, rng: &mut Rng) -> Self {
        Self::holding(self.lock().image.after_power_cut(rng))
    }

    fn holding(image: Image) -> Self {
        let drive = Drive {
            image,
            ..Drive::default()
        };
        Self {
            drive: Arc::new(Mutex::new(drive)),
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Drive> {
        // A test that has failed may still drop what uses the disk.
        self.drive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks something up; not a step.
    async fn look<T>(&self, look: impl FnOnce(&Image) -> io::Result<T>) -> io::Result<T> {
        yield_now().await;
        let drive = self.lock();
        if drive.stopped {
            return Err(failure());
        }
        look(&drive.image)
    }

    /// Does one step, or what its fault leaves of it.
    async fn step<T>(
        &self,
        description: String,
        change: impl FnOnce(&mut Image) -> io::Result<T>,
        when_failing: impl FnOnce(&mut Image, Fault),
    ) -> io::Result<T> {
        // Others have their turn between any two steps.
        yield_now().await;
        let mut drive = self.lock();
        match drive.begin_step(description)? {
            None => change(&mut drive.image),
            Some(Fault::Done) => change(&mut drive.image).and(Err(failure())),
            Some(fault) => {
                when_failing(&mut drive.image, fault);
                Err(failure())
            }
        }
    }

    /// The names in a folder, each with whether it is a folder's; nothing when it is not there or is a file.
    ///
    /// A listing that lies goes on while others work, and shows of each name that they change what was or what is. It may
    /// also show names that were taken away before, as long as the folder is not synced.
    async fn list(&self, path: &str) -> io::Result<Option<Vec<(String, bool)>>> {
        let before = self.look(|image| image.list(path)).await?;
        if self.lock().liar.is_none() {
            return Ok(before);
        }
        let after = self.look(|image| image.list(path)).await?;
        let mut drive = self.lock();
        let ghosts = drive.image.ghosts(path);
        let (Some(before), Some(after), Some(random)) = (before, after, &mut drive.liar) else {
            return Ok(None);
        };
        let is_certain = |name: &(String, bool)| before.contains(name) && after.contains(name);
        let mut listed: BTreeMap<String, bool> = BTreeMap::new();
        for name in before.iter().chain(&after).chain(&ghosts) {
            if is_certain(name) || random.bool() {
                listed.insert(name.0.clone(), name.1);
            }
        }
        Ok(Some(listed.into_iter().collect()))
    }

    async fn make(&self, path: &str) -> io::Result<bool> {
        if self.look(|image| image.is_folder(path)).await? {
            return Ok(false);
        }
        let made = self.step(
            format!("make the folder {path}"),
            |image| image.make_folder(path),
            |_, _| {},
        );
        made.await
    }

    async fn create_file(&self, path: &str) -> io::Result<()> {
        // The service makes what is missing above a file, as the local one does.
        for (end, _) in path.match_indices('/') {
            self.make(&path[..end]).await?;
        }
        let room = self.lock().room;
        let created = self.step(
            format!("create {path}"),
            |image| match room {
                Some(room) if image.used() >= room => Err(no_space_left()),
                _ => image.create_file(path),
            },
            |_, _| {},
        );
        created.await
    }

    async fn append(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let room = self.lock().room.unwrap_or(usize::MAX);
        let appended = self.step(
            format!("write {} bytes to {path}", bytes.len()),
            |image| {
                let fitting = bytes.len().min(room.saturating_sub(image.used()));
                image.append(path, &bytes[..fitting])?;
                match fitting == bytes.len() {
                    true => Ok(()),
                    false => Err(no_space_left()),
                }
            },
            |image, fault| {
                if fault == Fault::Torn {
                    // A file that is gone cannot be torn.
                    let _ = image.append(path, &bytes[..bytes.len() / 2]);
                }
            },
        );
        appended.await
    }

    async fn sync_file(&self, path: &str) -> io::Result<()> {
        let synced = self.step(
            format!("sync {path}"),
            |image| image.sync_file(path),
            |image, _| image.lose_unsynced(path),
        );
        synced.await
    }

    async fn sync_folder(&self, path: &str) -> io::Result<()> {
        let synced = self.step(
            format!("sync the folder \"{path}\""),
            |image| image.sync_folder(path),
            |_, _| {},
        );
        synced.await
    }

    async fn remove(&self, path: &str) -> io::Result<()> {
        let mut stalled = self.stalled.subscribe();
        // The sender is the disk's own, so it cannot be gone.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        let removed = self.step(
            format!("remove {path}"),
            |image| image.remove(path),
            |_, _| {},
        );
        removed.await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let renamed = self.step(
            format!("rename {from} to {to}"),
            |image| image.rename(from, to),
            |_, _| {},
        );
        renamed.await
    }
}

impl Drive {
    fn begin_step(&mut self, description: String) -> io::Result<Option<Fault>> {
        let step = self.steps.len();
        self.stopped |= self.stop_before == Some(step);
        self.stopped |= picks(&self.stop_when, &description);
        if self.stopped {
            return Err(failure());
        }
        if picks(&self.fail_when, &description) {
            self.fail_when = None;
            self.faults.insert(step, Fault::Undone);
        }
        self.steps.push(description);
        Ok(self.faults.get(&step).copied())
    }
}

impl Folders for SimulatedDisk {
    fn make(&self, folder: &str) -> BoxFuture<'static, io::Result<bool>> {
        let (disk, folder) = (self.clone(), folder.to_owned());
        async move { disk.make(&folder).await }.boxed()
    }

    fn sync(&self, folder: &str) -> BoxFuture<'static, io::Result<()>> {
        let (disk, folder) = (self.clone(), folder.to_owned());
        async move { disk.sync_folder(&folder).await }.boxed()
    }
}

fn picks(filter: &Option<StepFilter>, step: &str) -> bool {
    filter.as_ref().is_some_and(|filter| filter(step))
}

fn failure() -> io::Error {
    io::Error::from_raw_os_error(IO_ERROR)
}

fn no_space_left() -> io::Error {
    io::Error::from_raw_os_error(NO_SPACE_LEFT)
}

#[cfg(test)]
mod tests;
