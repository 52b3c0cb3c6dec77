//! Where the servers are.

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

/// What the environment tells of the servers.
fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the servers with scripts/services.sh, which prints it")
    })
}
