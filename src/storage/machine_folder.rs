//! What a job keeps on this machine beside its store: locks, and where its server listens.
//!
//! Where the store is a folder, it is the job's folder there. A bucket has no locks, and an address such as 127.0.0.1 means
//! nothing to other machines; so it is a folder of the user's own then, below that for temporary files. Whoever finds
//! another one, because its environment says so, is as good as on another machine.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::location::StoreLocation;
use super::paths::StoragePaths;
use crate::error::{Error, Result};
use crate::model::hash_key;

/// Only the user may look into it.
const MODE: u32 = 0o700;

/// The folder of a job on this machine. It need not be there.
///
/// # Errors
/// [`crate::error::ErrorKind::Configuration`] when the job's name cannot name a folder;
/// [`crate::error::ErrorKind::Environment`] when the system does not say whose the process is.
pub(super) fn machine_folder(location: &StoreLocation, job: &str) -> Result<PathBuf> {
    let paths = StoragePaths::new(job)?;
    if let Some(root) = location.folder() {
        return Ok(root.join(paths.job_folder().as_str()));
    }
    let store = hash_key(location.to_string().as_bytes());
    Ok(own_folder()?.join(format!("{job}-{store:016x}")))
}

/// Makes the folder of a job on this machine, if it is not there.
///
/// # Errors
/// [`crate::error::ErrorKind::Environment`] when it cannot be made, or when somebody else has made it.
pub(super) fn make_machine_folder(location: &StoreLocation, job: &str) -> Result<PathBuf> {
    let folder = machine_folder(location, job)?;
    let failed = |error| Error::io(format!("make the folder {}", folder.display()), error);
    if location.folder().is_some() {
        fs::create_dir_all(&folder).map_err(failed)?;
        return Ok(folder);
    }
    make_own_folder()?;
    make_private(&folder).map_err(failed)?;
    Ok(folder)
}

/// Makes the folder that all jobs of this user have on this machine, if it is not there.
///
/// # Errors
/// [`crate::error::ErrorKind::Environment`] when it cannot be made, or when somebody else has made it.
pub(super) fn make_own_folder() -> Result<PathBuf> {
    let own = own_folder()?;
    make_private(&own)
        .map_err(|error| Error::io(format!("make the folder {}", own.display()), error))?;
    Ok(own)
}

fn own_folder() -> Result<PathBuf> {
    let user = user().map_err(|error| Error::io("find out whose this process is", error))?;
    Ok(std::env::temp_dir().join(format!("floodmark-{user}")))
}

fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Everybody can make folders among the temporary ones.
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == user()? && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let message = "somebody else can write there: remove it, or set TMPDIR to another folder";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|process| process.uid())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[cfg(feature = "s3")]
    #[test]
    fn jobs_in_buckets_have_folders_of_their_own_on_the_machine() {
        let folder_of = |text: &str, job: &str| {
            let location = StoreLocation::parse(text, Path::new("/srv")).unwrap();
            machine_folder(&location, job).unwrap()
        };
        assert_eq!(folder_of("data", "job"), Path::new("/srv/data/job"));
        let folder = folder_of("s3://bucket/a", "job");
        assert!(folder.starts_with(std::env::temp_dir()), "{folder:?}");
        assert_ne!(folder, folder_of("s3://bucket/b", "job"));
        assert_ne!(folder, folder_of("s3://bucket/a", "another"));
        assert_eq!(folder, folder_of("s3://bucket/a/", "job"));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("private");
        make_private(&private).unwrap();
        make_private(&private).unwrap();
        fs::set_permissions(&private, fs::Permissions::from_mode(0o777)).unwrap();
        let error = make_private(&private).unwrap_err();
        assert!(error.to_string().contains("set TMPDIR"), "{error}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        make_private(&link).unwrap_err();
    }
}
