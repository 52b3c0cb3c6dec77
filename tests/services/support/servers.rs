//! Where the servers are, and how a test has one of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::signal;

/// The broker, as host and port.
pub(crate) fn kafka_address() -> String {
    told("FLOODMARK_TEST_KAFKA")
}

/// The address of the S3 store.
pub(crate) fn s3_endpoint() -> String {
    told("FLOODMARK_TEST_S3_ENDPOINT")
}

/// A place in the bucket of the tests that no other test knows, with a slash at its end.
pub(crate) fn s3_place(name: &str) -> String {
    let bucket = told("FLOODMARK_TEST_S3_BUCKET");
    // Servers can outlive a test run, so the name must be another one each time. No test depends on it.
    let number = fastrand::Rng::new().u64(..);
    format!("s3://{bucket}/{name}-{number:016x}/")
}

/// A store that belongs to one test, which can kill it. It has the identity and the bucket of the common one.
pub(crate) struct OwnS3 {
    folder: tempfile::TempDir,
    pub(crate) endpoint: String,
}

impl OwnS3 {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // However the test ends, the server does not outlive it.
        let test = std::process::id().to_string();
        services(folder.path(), &["start", "--only", "s3", "--while", &test]);
        let exports = services(folder.path(), &["env"]);
        let line = exports.lines().find_map(|line| {
            let (_, endpoint) = line.split_once("FLOODMARK_TEST_S3_ENDPOINT=")?;
            Some(endpoint.to_owned())
        });
        Self {
            endpoint: line.unwrap(),
            folder,
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        let id = fs::read_to_string(self.folder.path().join("s3.pid")).unwrap();
        signal(id.trim().parse().unwrap(), "KILL");
    }

    /// Starts it again where it was, with what it holds.
    pub(crate) fn start_again(&self) {
        services(self.folder.path(), &["start", "--only", "s3"]);
    }
}

impl Drop for OwnS3 {
    fn drop(&mut self) {
        services(self.folder.path(), &["stop"]);
    }
}

/// Runs `scripts/services.sh` for a folder, and gives what it prints.
fn services(folder: &Path, arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");
    let output = Command::new(script)
        .args(arguments)
        .arg(folder)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the environment tells of the servers.
fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the servers with scripts/services.sh, which prints it")
    })
}
