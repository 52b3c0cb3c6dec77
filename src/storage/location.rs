//! Where something lies in a store, as the job file or a command line says it: a local folder, or a place in a bucket.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::scheme::Scheme;
use crate::config::S3Section;
use crate::error::{Error, ErrorKind, Result};

/// A place in a store: a local folder, or a prefix in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreLocation {
    place: Place,
    /// How S3 is reached, as far as the environment does not say it.
    s3: Arc<S3Section>,
}

/// Where that is, whoever reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder of this machine; the path is absolute.
    Folder(PathBuf),
    /// Everything in a bucket whose name starts with the prefix and a slash.
    Bucket {
        scheme: Scheme,
        /// The bucket's name; Azure's word for one is container.
        bucket: String,
        /// Without a slash at either end; empty for all of the bucket.
        prefix: String,
    },
}

impl StoreLocation {
    /// Reads a path, `file:///absolute/path`, or the address of a bucket, such as `s3://bucket/prefix`. A relative path is
    /// taken from `working_directory`, which must be absolute.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the text is empty, is a `file:` address without an absolute path, names no
    /// bucket, or has a scheme that is not built in.
    pub fn parse(text: &str, working_directory: &Path) -> Result<Self> {
        let path = match text.split_once("://") {
            None => Path::new(text),
            Some(("file", path)) if path.starts_with('/') => Path::new(path),
            Some(("file", _)) => {
                return Err(configuration(format!(
                    "storage \"{text}\" is not absolute: write file:///path with three slashes"
                )));
            }
            Some((scheme, rest)) => {
                let scheme = Scheme::parse(scheme)
                    .map_err(|problem| configuration(format!("storage \"{text}\": {problem}")))?;
                return Self::in_bucket(text, scheme, rest);
            }
        };
        if text.is_empty() {
            return Err(configuration("storage is empty: name a folder".to_owned()));
        }
        let joined = working_directory.join(path);
        // A leading "./" would otherwise show up in every message.
        let folder: PathBuf = joined
            .components()
            .filter(|component| *component != Component::CurDir)
            .collect();
        Ok(Self::of_folder(folder))
    }

    fn in_bucket(text: &str, scheme: Scheme, rest: &str) -> Result<Self> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let is_plain = |part: &str| !matches!(part.trim(), "" | "." | "..") && part.trim() == part;
        if bucket.is_empty() || !(prefix.is_empty() || prefix.split('/').all(is_plain)) {
            return Err(configuration(format!(
                "storage \"{text}\" names no place in a bucket: write {scheme}://bucket/prefix"
            )));
        }
        Ok(Self::at(Place::Bucket {
            scheme,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        }))
    }

    /// A folder whose path is absolute.
    pub fn of_folder(folder: impl Into<PathBuf>) -> Self {
        Self::at(Place::Folder(folder.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            s3: Arc::default(),
        }
    }

    /// The same place; if it lies on S3, it is reached as this says.
    #[must_use]
    pub fn with_s3(mut self, s3: &S3Section) -> Self {
        self.s3 = Arc::new(s3.clone());
        self
    }

    /// How S3 is reached.
    pub fn s3(&self) -> &S3Section {
        &self.s3
    }

    /// The folder; nothing when it is a place in a bucket.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What lies below it at this path, which is relative and may be empty.
    #[must_use]
    pub fn join(&self, path: &str) -> Self {
        let place = match &self.place {
            place if path.is_empty() => place.clone(),
            Place::Folder(folder) => Place::Folder(folder.join(path)),
            Place::Bucket {
                scheme,
                bucket,
                prefix,
            } => Place::Bucket {
                scheme: *scheme,
                bucket: bucket.clone(),
                prefix: match prefix.as_str() {
                    "" => path.to_owned(),
                    prefix => format!("{prefix}/{path}"),
                },
            },
        };
        Self {
            place,
            s3: Arc::clone(&self.s3),
        }
    }

    /// What it lies in; nothing for the root of the file system, and for a whole bucket.
    pub fn parent(&self) -> Option<Self> {
        let place = match &self.place {
            Place::Folder(folder) => Place::Folder(folder.parent()?.to_path_buf()),
            Place::Bucket { prefix, .. } if prefix.is_empty() => return None,
            Place::Bucket {
                scheme,
                bucket,
                prefix,
            } => Place::Bucket {
                scheme: *scheme,
                bucket: bucket.clone(),
                prefix: prefix
                    .rsplit_once('/')
                    .map_or_else(String::new, |(above, _)| above.to_owned()),
            },
        };
        Some(Self {
            place,
            s3: Arc::clone(&self.s3),
        })
    }

    /// Its name in what it lies in; nothing where that is nothing, and when it is no text.
    pub fn name(&self) -> Option<&str> {
        match &self.place {
            Place::Folder(folder) => folder.file_name()?.to_str(),
            Place::Bucket { prefix, .. } => {
                prefix.rsplit('/').next().filter(|name| !name.is_empty())
            }
        }
    }

    /// The path from `root` to here, with slashes; nothing when this does not lie below it, or when the path has a name
    /// that a store cannot have.
    pub(super) fn below(&self, root: &Self) -> Option<String> {
        match (&self.place, &root.place) {
            (Place::Folder(folder), Place::Folder(root)) => {
                let path = folder.strip_prefix(root).ok()?;
                // Anything else could name a folder that OpenDAL takes for another.
                let parts = path.components().map(|part| part.as_os_str().to_str());
                let parts: Option<Vec<&str>> = parts.collect();
                let is_plain = |part: &&str| part.trim() == *part && *part != "..";
                let parts = parts.filter(|parts| parts.iter().all(is_plain))?;
                Some(parts.join("/"))
            }
            (
                Place::Bucket {
                    scheme,
                    bucket,
                    prefix,
                },
                Place::Bucket {
                    scheme: root_scheme,
                    bucket: root_bucket,
                    prefix: root_prefix,
                },
            ) if scheme == root_scheme && bucket == root_bucket => {
                let rest = prefix.strip_prefix(root_prefix.as_str())?;
                match root_prefix.as_str() {
                    "" => Some(rest),
                    _ if rest.is_empty() => Some(rest),
                    _ => rest.strip_prefix('/'),
                }
                .map(str::to_owned)
            }
            _ => None,
        }
    }
}

/// As a user would name it: a path without `file://`.
impl fmt::Display for StoreLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(folder) => write!(formatter, "{}", folder.display()),
            Place::Bucket {
                scheme,
                bucket,
                prefix,
            } => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(formatter, "{scheme}://{bucket}{slash}{prefix}")
            }
        }
    }
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoreLocation> {
        StoreLocation::parse(text, Path::new("/srv/dir"))
    }

    fn check(text: &str, expected: Result<&str, &str>) {
        match (parse(text), expected) {
            (Ok(location), Ok(shown)) => assert_eq!(location.to_string(), shown, "{text}"),
            (Err(error), Err(part)) => {
                assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
                assert!(error.to_string().contains(part), "{text}: {error}");
            }
            (found, expected) => panic!("{text}: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn paths_and_file_addresses_are_read_and_unknown_schemes_refused() {
        check("checkpoints", Ok("/srv/dir/checkpoints"));
        check("./checkpoints", Ok("/srv/dir/checkpoints"));
        check("../checkpoints", Ok("/srv/dir/../checkpoints"));
        check("/data/checkpoints", Ok("/data/checkpoints"));
        check("file:///data/checkpoints", Ok("/data/checkpoints"));
        check("file://data", Err("three slashes"));
        check(
            "hdfs://name/checkpoints",
            Err("the scheme hdfs:// is not known"),
        );
        check("", Err("storage is empty"));
    }

    #[cfg(feature = "s3")]
    #[test]
    fn an_address_names_a_bucket_and_a_place_in_it() {
        check("s3://bucket", Ok("s3://bucket"));
        check("s3://bucket/", Ok("s3://bucket"));
        check("s3://bucket/a/b/", Ok("s3://bucket/a/b"));
        for wrong in [
            "s3://",
            "s3:///a",
            "s3://bucket//a",
            "s3://bucket/a/../b",
            "s3://bucket/ a",
        ] {
            check(wrong, Err("write s3://bucket/prefix"));
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn places_know_what_lies_above_and_below_them() {
        for (root, shown) in [("s3://bucket/a", "s3://bucket/a/b/c"), ("/a", "/a/b/c")] {
            let root = parse(root).unwrap();
            let below = root.join("b/c");
            assert_eq!(below.to_string(), shown);
            assert_eq!(below.below(&root).as_deref(), Some("b/c"));
            assert_eq!(root.below(&root).as_deref(), Some(""));
            assert_eq!(root.below(&below), None);
            assert_eq!(below.name(), Some("c"));
            assert_eq!(below.parent(), Some(root.join("b")));
        }
        let bucket = parse("s3://bucket").unwrap();
        assert_eq!(bucket.parent(), None);
        assert_eq!(bucket.name(), None);
        assert_eq!(bucket.join("a").parent(), Some(bucket.clone()));
        assert_eq!(bucket.join("a/b").below(&bucket).as_deref(), Some("a/b"));
        let other = parse("s3://bucket/ab").unwrap();
        assert_eq!(other.below(&bucket.join("a")), None, "it only starts alike");
        assert_eq!(parse("s3://another/a/b").unwrap().below(&bucket), None);
        assert_eq!(parse("/bucket/a").unwrap().below(&bucket), None);
    }
}
