//! Where a job's checkpoints are kept, as the job file says it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The root of a store: a local folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLocation {
    root: PathBuf,
}

impl StoreLocation {
    /// Reads `checkpoint.storage`: a path, or `file:///absolute/path`. A relative path is taken from
    /// `working_directory`, which must be absolute.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the text is empty, is a `file:` address without an absolute path, or has
    /// another scheme.
    pub fn parse(text: &str, working_directory: &Path) -> Result<Self> {
        let path = match text.split_once("://") {
            None => Path::new(text),
            Some(("file", path)) if path.starts_with('/') => Path::new(path),
            Some(("file", _)) => {
                return Err(configuration(format!(
                    "storage \"{text}\" is not absolute: write file:///path with three slashes"
                )));
            }
            Some((scheme, _)) => {
                return Err(configuration(format!(
                    "storage \"{text}\" has the scheme {scheme}://: in this version there is only file://"
                )));
            }
        };
        if text.is_empty() {
            return Err(configuration("storage is empty: name a folder".to_owned()));
        }
        let joined = working_directory.join(path);
        // A leading "./" would otherwise show up in every message.
        let root = joined
            .components()
            .filter(|component| *component != Component::CurDir)
            .collect();
        Ok(Self { root })
    }

    /// A folder whose path is absolute.
    pub(super) fn of_folder(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "file://{}", self.root.display())
    }
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        match (StoreLocation::parse(text, Path::new("/srv/dir")), expected) {
            (Ok(location), Ok(root)) => assert_eq!(location.root(), Path::new(root), "{text}"),
            (Err(error), Err(part)) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
                assert!(error.to_string().contains(part), "{text}: {error}");
            }
            (found, expected) => panic!("{text}: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn paths_and_file_addresses_are_read_and_other_schemes_refused() {
        check("checkpoints", Ok("/srv/dir/checkpoints"));
        check("./checkpoints", Ok("/srv/dir/checkpoints"));
        check("../checkpoints", Ok("/srv/dir/../checkpoints"));
        check("/data/checkpoints", Ok("/data/checkpoints"));
        check("file:///data/checkpoints", Ok("/data/checkpoints"));
        check("file://data", Err("three slashes"));
        check("s3://bucket/checkpoints", Err("there is only file://"));
        check("", Err("storage is empty"));
    }
}
