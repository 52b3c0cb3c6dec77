//! What lies in the folder of the store.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use floodmark::error::{Error, Result};
use floodmark::snapshot::CheckpointStore;
use floodmark::storage::StoreLocation;
use tokio::runtime::Builder;

/// The bytes of all files below a folder. Files that go meanwhile count for nothing.
pub(crate) fn bytes(folder: &Path) -> Result<u64> {
    let failed = |error| Error::io(format!("look at {}", folder.display()), error);
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(failed)?,
    };
    let mut sum = 0;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += bytes(&entry.path())?,
            Ok(metadata) => sum += metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(sum)
}

/// What a job that has ended left in its store.
pub(crate) struct Leftover {
    pub(crate) bytes: u64,
    /// Files of state that no checkpoint refers to.
    pub(crate) orphans: usize,
}

/// Looks at the store of a job that does not run.
pub(crate) fn leftover(folder: &Path, job: &str) -> Result<Leftover> {
    let location = StoreLocation::parse(&folder.display().to_string(), Path::new("/"))?;
    let store = CheckpointStore::open(&location, job)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::io("start a runtime", error))?;
    let mut referred = BTreeSet::new();
    for listed in runtime.block_on(store.list())? {
        let manifest = runtime.block_on(store.manifest(listed.checkpoint))?;
        let names = manifest.objects().into_iter();
        referred.extend(names.map(|name| name.as_str().to_owned()));
    }
    let shared = folder.join(job).join("shared");
    let failed = |error| Error::io(format!("look at {}", shared.display()), error);
    let mut orphans = 0;
    for entry in shared.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let is_referred = referred
            .iter()
            .any(|object| Path::new(object).file_name() == Some(&name));
        orphans += usize::from(!is_referred);
    }
    Ok(Leftover {
        bytes: bytes(folder)?,
        orphans,
    })
}
