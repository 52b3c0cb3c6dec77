//! The job, as its file says it.

use crate::support::{Topic, kafka_address, s3_place};

use super::Input;

/// Where checkpoints lie.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// In the folder of the job.
    Local,
    /// In a bucket of the store at this address.
    S3 { endpoint: String, place: String },
}

impl Storage {
    /// A place that no other test knows, in the bucket of the store at this address.
    pub(crate) fn s3(endpoint: impl Into<String>) -> Self {
        Self::S3 {
            endpoint: endpoint.into(),
            place: s3_place("lags"),
        }
    }
}

/// A run of the job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Its name, which no other test has: it goes into the ids of its transactions.
    pub(crate) name: String,
    pub(crate) parallelism: usize,
    pub(crate) interval_millis: u64,
    pub(crate) storage: Storage,
    /// What else stands in its file about checkpoints.
    pub(crate) checkpoint: &'static str,
    /// What stands in its file about restarts.
    pub(crate) restart: &'static str,
    /// The broker, or a proxy before it.
    pub(crate) brokers: String,
    /// The same for the sink alone.
    pub(crate) sink_brokers: Option<String>,
    pub(crate) delivery_guarantee: &'static str,
    /// What else stands in its file about the sink.
    pub(crate) sink: &'static str,
    pub(crate) input: String,
    pub(crate) output: Topic,
    /// Whether it ends when it has read what was there at its start.
    pub(crate) is_bounded: bool,
}

impl Job {
    /// A job that reads `input` for as long as it runs, and writes to a topic of its own.
    pub(crate) fn over(input: &Input) -> Self {
        let output = Topic::create("lags", 4);
        Self {
            name: output.name.clone(),
            parallelism: 2,
            interval_millis: 50,
            storage: Storage::Local,
            checkpoint: "",
            restart: "",
            brokers: kafka_address(),
            sink_brokers: None,
            delivery_guarantee: "exactly-once",
            sink: "",
            input: input.topic.name.clone(),
            output,
            is_bounded: false,
        }
    }

    pub(crate) fn toml(&self) -> String {
        let Self {
            name,
            parallelism,
            interval_millis,
            checkpoint,
            restart,
            brokers,
            delivery_guarantee,
            sink,
            input,
            ..
        } = self;
        let sink_brokers = self.sink_brokers.as_ref().unwrap_or(brokers);
        let output = &self.output.name;
        let storage = match &self.storage {
            Storage::Local => "storage = 'checkpoints'".to_owned(),
            Storage::S3 { endpoint, place } => format!(
                "storage = '{place}'\ns3 = {{ endpoint = '{endpoint}', region = 'us-east-1' }}"
            ),
        };
        let bounded_mode = if self.is_bounded {
            "bounded_mode = 'latest-offset'"
        } else {
            ""
        };
        format!(
            "[job]\n\
             name = '{name}'\n\
             parallelism = {parallelism}\n\
             [checkpoint]\n\
             interval = '{interval_millis}ms'\n\
             {checkpoint}\n\
             {storage}\n\
             [restart]\n\
             {restart}\n\
             [state]\n\
             directory = 'state'\n\
             local_recovery = true\n\
             [[source]]\n\
             id = 'signals'\n\
             type = 'kafka'\n\
             brokers = '{brokers}'\n\
             topics = ['{input}']\n\
             format = 'json'\n\
             startup_mode = 'earliest-offset'\n\
             {bounded_mode}\n\
             [source.columns]\n\
             market = 'string'\n\
             signal = 'string'\n\
             delta = 'float64'\n\
             [[operator]]\n\
             id = 'lag'\n\
             type = 'aggregate'\n\
             input = 'signals'\n\
             key = ['market']\n\
             map_key = 'signal'\n\
             emit = 'update'\n\
             [operator.aggregates]\n\
             steps = 'count()'\n\
             largest = 'max(delta)'\n\
             [[sink]]\n\
             id = 'lags'\n\
             type = 'kafka'\n\
             input = 'lag'\n\
             brokers = '{sink_brokers}'\n\
             {sink}\n\
             topic = '{output}'\n\
             format = 'json'\n\
             key_fields = ['market']\n\
             delivery_guarantee = '{delivery_guarantee}'\n"
        )
    }
}
