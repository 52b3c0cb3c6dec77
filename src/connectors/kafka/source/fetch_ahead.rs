//! How much librdkafka fetches ahead of a subtask. It counts for each partition, so what is right for a few would be too
//! much for hundreds.

use rdkafka::ClientConfig;

/// How much is fetched ahead of one partition at most: enough for some milliseconds of work.
const PARTITION_KBYTES_MAX: usize = 8 << 10;

/// How much is fetched ahead of all partitions of a subtask, unless there are so many that each has the least.
const ALL_KBYTES_MAX: usize = 64 << 10;

/// How much is fetched ahead of a partition at least: less would be asked for too often.
const PARTITION_KBYTES_MIN: usize = 256;

/// How much librdkafka asks for at once unless told otherwise.
const FETCH_KBYTES_MAX: usize = 1 << 10;

const QUEUED: &str = "queued.max.messages.kbytes";
const FETCHED: &str = "fetch.message.max.bytes";
const FETCHED_TOO: &str = "max.partition.fetch.bytes";

/// The settings of a consumer of so many partitions. What the user has set stays.
pub(super) fn bounded(config: &ClientConfig, partitions: usize) -> ClientConfig {
    let mut config = config.clone();
    let share = ALL_KBYTES_MAX / partitions.max(1);
    let kbytes = share.clamp(PARTITION_KBYTES_MIN, PARTITION_KBYTES_MAX);
    if config.get(QUEUED).is_none() {
        config.set(QUEUED, kbytes.to_string());
        // What one answer brings comes on top.
        if config.get(FETCHED).is_none() && config.get(FETCHED_TOO).is_none() {
            let bytes = kbytes.min(FETCH_KBYTES_MAX) << 10;
            config.set(FETCHED, bytes.to_string());
        }
    }
    config
}

/// Whether consumers with these settings fetch the same ahead.
pub(super) fn are_same(one: &ClientConfig, other: &ClientConfig) -> bool {
    one.get(QUEUED) == other.get(QUEUED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is fetched ahead of each of so many partitions, in kilobytes, and at once, in bytes.
    fn check(own: &[(&str, &str)], partitions: usize, expected: [Option<&str>; 2]) {
        let mut config = ClientConfig::new();
        for (name, value) in own {
            config.set(*name, *value);
        }
        let config = bounded(&config, partitions);
        let found = [QUEUED, FETCHED].map(|name| config.get(name));
        assert_eq!(found, expected, "{own:?}, {partitions}");
        assert!(config.create_native_config().is_ok());
    }

    #[test]
    fn many_partitions_share_what_is_fetched_ahead_of_all() {
        check(&[], 0, [Some("8192"), Some("1048576")]);
        check(&[], 8, [Some("8192"), Some("1048576")]);
        check(&[], 16, [Some("4096"), Some("1048576")]);
        check(&[], 128, [Some("512"), Some("524288")]);
        check(&[], 10_000, [Some("256"), Some("262144")]);
    }

    #[test]
    fn what_the_user_has_set_stays() {
        check(&[(QUEUED, "7")], 128, [Some("7"), None]);
        check(&[(FETCHED, "9000")], 128, [Some("512"), Some("9000")]);
        check(&[(FETCHED_TOO, "9000")], 128, [Some("512"), None]);
    }
}
