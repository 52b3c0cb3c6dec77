//! `[source.s3]` and `[sink.s3]`: how S3 is reached for files.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::S3Section;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::StoreLocation;

/// How S3 is reached, as far as the environment does not say it. Credentials are not here: they come from the environment,
/// from a profile, or from the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Access {
    /// The address of the server; AWS unless given, here or by `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// The region; that of `AWS_REGION` unless given, and with an endpoint of one's own any will do.
    pub region: Option<String>,
    /// Whether the bucket stands in the path rather than in the name of the host; so with an endpoint of one's own, unless
    /// this says otherwise.
    pub path_style_access: Option<bool>,
}

impl S3Access {
    /// The place of `folder`, which `path` begins with, if that is the address of a bucket.
    pub(super) fn location(&self, path: &str, folder: &str) -> Result<Option<StoreLocation>> {
        if !path.contains("://") {
            return match self == &Self::default() {
                true => Ok(None),
                false => Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "s3: only goes with a path such as s3://bucket/prefix, and it is \"{path}\""
                    ),
                )),
            };
        }
        let location = StoreLocation::parse(folder, Path::new("/"));
        let location = location.map_err(|error| {
            let message = format!("path: {error}");
            Error::new(ErrorKind::Configuration, message)
        })?;
        if location.folder().is_some() {
            let message = format!("path: write the folder without file://, as in {location}");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let problem = self
            .endpoint
            .as_deref()
            .and_then(S3Section::problem_of_endpoint);
        if let Some((problem, hint)) = problem {
            let message = format!("s3.endpoint: {problem}: {hint}");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let Self {
            endpoint,
            region,
            path_style_access,
        } = self.clone();
        Ok(Some(location.with_s3(&S3Section {
            endpoint,
            region,
            path_style_access,
            ..S3Section::default()
        })))
    }
}
