//! Buckets: how they are reached, and what bounds the traffic with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opendal::{Operator, options};
use tokio::sync::Semaphore;

use super::{BlobStore, Medium, Retries};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "http")]
use crate::storage::location::Place;
use crate::storage::location::StoreLocation;
#[cfg(feature = "http")]
use crate::storage::scheme::Scheme;

/// How many objects are uploaded at once by all of a job; with the next two it bounds the memory that uploads take.
const UPLOADS_MAX: usize = 4;

/// How many parts of one object are under way at once, up or down.
pub(super) const PARTS_AT_ONCE: usize = 4;

/// How many of an object that comes bit by bit: every subtask may have one.
pub(super) const STREAM_PARTS_AT_ONCE: usize = 2;

/// How many bytes a part has, unless the object would have too many of them.
const PART_BYTES: u64 = 8 << 20;

/// How many parts an object can have: S3 takes 10,000.
const PARTS_MAX: u64 = 9_000;

/// How many small requests are under way at once.
pub(super) const REQUESTS_MAX: usize = 32;

/// How many objects are deleted with one request: S3 takes 1,000.
pub(super) const DELETIONS_MAX: usize = 1_000;

/// How long a server may take to accept a connection.
#[cfg(feature = "http")]
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a whole upload is begun anew.
pub(super) const UPLOAD_RETRIES_MAX: usize = 1;

/// The uploads under way, of all stores that share this.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Uploads(Arc<Semaphore>);

impl Default for Uploads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UPLOADS_MAX)))
    }
}

/// What a store of objects has beside its operator.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) uploads: Uploads,
    /// Whether it is known to ignore the condition of a conditional put.
    ignores_conditions: Arc<AtomicBool>,
}

impl Bucket {
    pub(super) fn new(uploads: Uploads) -> Self {
        Self {
            uploads,
            ignores_conditions: Arc::default(),
        }
    }

    /// Whether a conditional put does what it says, as far as is known.
    pub(super) fn heeds_conditions(&self) -> bool {
        !self.ignores_conditions.load(Ordering::Relaxed)
    }

    /// It has been seen that conditions are ignored.
    pub(super) fn note_that_conditions_are_ignored(&self) {
        self.ignores_conditions.store(true, Ordering::Relaxed);
    }
}

impl Uploads {
    /// Waits until another object may be uploaded; it counts until what is returned is dropped. Nothing when there is no
    /// bound any more, which nobody lifts.
    pub(super) async fn begin(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

impl BlobStore {
    /// How a new object of so many bytes is written, so many parts at once.
    pub(super) fn writer_options(
        &self,
        length: u64,
        parts_at_once: usize,
    ) -> options::WriteOptions {
        match self.medium {
            Medium::Disk(_) => options::WriteOptions {
                if_not_exists: true,
                ..Default::default()
            },
            Medium::Bucket(_) => options::WriteOptions {
                concurrent: parts_at_once,
                ..upload_options(length)
            },
        }
    }

    /// How an object is read.
    pub(super) fn reader_options(&self) -> options::ReaderOptions {
        match self.medium {
            Medium::Disk(_) => options::ReaderOptions::default(),
            Medium::Bucket(_) => options::ReaderOptions {
                chunk: usize::try_from(PART_BYTES).ok(),
                concurrent: PARTS_AT_ONCE,
                ..Default::default()
            },
        }
    }
}

/// How so many bytes are uploaded to a bucket: in parts, and some of them at once.
pub(in crate::storage) fn upload_options(length: u64) -> options::WriteOptions {
    options::WriteOptions {
        chunk: usize::try_from(PART_BYTES.max(length.div_ceil(PARTS_MAX))).ok(),
        concurrent: PARTS_AT_ONCE,
        ..Default::default()
    }
}

/// How often, and how soon, a request to this store is tried again: long enough that a server can be started anew.
pub(super) fn retries(location: &StoreLocation) -> Retries {
    Retries {
        max: 6,
        pause: Duration::from_millis(200),
        pause_max: Duration::from_secs(5),
        timeout: location.s3().timeout,
    }
}

/// What reaches the bucket of this location. Nothing is asked of it yet.
///
/// # Errors
/// [`ErrorKind::Configuration`] when something is missing for that.
#[cfg(feature = "http")]
pub(super) fn operator(location: &StoreLocation) -> Result<Operator> {
    let Place::Bucket {
        scheme,
        bucket,
        prefix,
    } = location.place()
    else {
        let message = format!("{location} lies in no bucket");
        return Err(Error::new(ErrorKind::Bug, message));
    };
    let opened = match scheme {
        #[cfg(feature = "s3")]
        Scheme::S3 => s3(bucket, prefix, location.s3())?,
        #[cfg(feature = "gcs")]
        Scheme::Gcs => Operator::new(
            opendal::services::Gcs::default()
                .bucket(bucket)
                .root(&format!("/{prefix}")),
        ),
        #[cfg(feature = "azblob")]
        Scheme::Azblob => Operator::new(azblob(bucket, prefix)),
        #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azblob")))]
        _ => return Err(not_built_in(location)),
    };
    let operator = opened.map_err(|error| {
        let message = format!("{location} cannot be reached: {}", error.message());
        Error::new(ErrorKind::Configuration, message)
    })?;
    connected(operator)
}

/// Without a feature for it no bucket is reached.
#[cfg(not(feature = "http"))]
pub(super) fn operator(location: &StoreLocation) -> Result<Operator> {
    Err(not_built_in(location))
}

#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azblob")))]
fn not_built_in(location: &StoreLocation) -> Error {
    let message = format!("{location} has a scheme that is not built in");
    Error::new(ErrorKind::Bug, message)
}

/// The same with connections of its own.
#[cfg(feature = "http")]
fn connected(operator: Operator) -> Result<Operator> {
    use opendal::{HttpTransporter, OperationContext};
    use opendal_http_transport_reqwest::ReqwestTransport;
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|error| {
            let message =
                "no HTTP client can be made, perhaps for want of the system's certificates";
            Error::new(ErrorKind::Environment, message).with_source(error)
        })?;
    let transport = HttpTransporter::new(ReqwestTransport::new(client));
    Ok(operator.with_context(OperationContext::new().with_http_transport(transport)))
}

#[cfg(feature = "s3")]
fn s3(
    bucket: &str,
    prefix: &str,
    section: &crate::config::S3Section,
) -> Result<opendal::Result<Operator>> {
    use crate::config::S3Checksum;
    let environment = |names: &[&str]| {
        let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
        values.find(|value| !value.is_empty())
    };
    let endpoint = section
        .endpoint
        .clone()
        .or_else(|| environment(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
    let region = section
        .region
        .clone()
        .or_else(|| environment(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
        // A server of one's own has no regions, but the signature needs one.
        .or_else(|| endpoint.is_some().then(|| "us-east-1".to_owned()));
    let Some(region) = region else {
        return Err(Error::new(
            ErrorKind::Configuration,
            format!(
                "s3://{bucket} has no region: set checkpoint.s3.region or AWS_REGION, or checkpoint.s3.endpoint for a \
                 server of your own"
            ),
        ));
    };
    let mut builder = opendal::services::S3::default()
        .bucket(bucket)
        .root(&format!("/{prefix}"))
        .region(&region);
    if !section.path_style_access.unwrap_or(endpoint.is_some()) {
        builder = builder.enable_virtual_host_style();
    }
    if let Some(endpoint) = &endpoint {
        builder = builder.endpoint(endpoint.trim_end_matches('/'));
    }
    if environment(&["AWS_EC2_METADATA_DISABLED"]).as_deref() == Some("true") {
        builder = builder.disable_ec2_metadata();
    }
    builder = match section.checksum {
        S3Checksum::Crc32c => builder.checksum_algorithm("crc32c"),
        S3Checksum::Md5 => builder.checksum_algorithm("md5"),
        S3Checksum::None => builder,
    };
    if let Some(encryption) = &section.server_side_encryption {
        builder = builder.server_side_encryption(encryption);
    }
    if let Some(key) = &section.server_side_encryption_key {
        builder = builder.server_side_encryption_aws_kms_key_id(key);
    }
    Ok(Operator::new(builder))
}

/// A container of the account that Azure's environment variables name.
#[cfg(feature = "azblob")]
fn azblob(container: &str, prefix: &str) -> opendal::services::Azblob {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut builder = opendal::services::Azblob::default()
        .container(container)
        .root(&format!("/{prefix}"));
    if let Some(account) = variable("AZURE_STORAGE_ACCOUNT_NAME") {
        let endpoint = variable("AZURE_STORAGE_ENDPOINT")
            .unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        builder = builder.account_name(&account).endpoint(&endpoint);
    }
    if let Some(key) = variable("AZURE_STORAGE_ACCOUNT_KEY") {
        builder = builder.account_key(&key);
    }
    builder
}

#[cfg(all(test, feature = "s3"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::S3Section;

    #[test]
    fn a_bucket_without_a_region_is_refused_with_what_to_set() {
        let location = StoreLocation::parse("s3://bucket/a", Path::new("/")).unwrap();
        if std::env::var("AWS_REGION").is_err() && std::env::var("AWS_ENDPOINT_URL").is_err() {
            let error = BlobStore::open(&location).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(
                error.to_string().contains("checkpoint.s3.region"),
                "{error}"
            );
        }
        let section = S3Section {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            ..S3Section::default()
        };
        BlobStore::open(&location.with_s3(&section)).unwrap();
    }

    #[test]
    fn large_objects_have_larger_parts_and_never_too_many() {
        let section = S3Section {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            ..S3Section::default()
        };
        let location = StoreLocation::parse("s3://bucket/a", Path::new("/")).unwrap();
        let store = BlobStore::open(&location.with_s3(&section)).unwrap();
        let part = |length: u64| store.writer_options(length, PARTS_AT_ONCE).chunk.unwrap() as u64;
        assert_eq!(part(0), PART_BYTES);
        assert_eq!(part(1 << 30), PART_BYTES);
        let terabyte = 1 << 40;
        assert!(terabyte / part(terabyte) <= PARTS_MAX);
    }
}
