//! From the settings of a source or a sink to those of a librdkafka client.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::properties::KafkaProperties;
use super::variables::{Environment, VariableProblem, replace_variables};
use crate::config::is_secret;
use crate::connectors::invalid::invalid;
use crate::error::Result;

/// A setting of librdkafka that is not the user's to set, and what to do instead.
pub(super) type OwnedProperty = (&'static str, &'static str);

/// Settings that are ours in sources and sinks alike.
const OWNED_PROPERTIES: [OwnedProperty; 5] = [
    ("bootstrap.servers", "set brokers beside the kafka table"),
    ("metadata.broker.list", "set brokers beside the kafka table"),
    ("log.queue", "log lines go to the log of the job"),
    (
        "log_level",
        "say what is logged of librdkafka with -v or FLOODMARK_LOG",
    ),
    ("enabled_events", "the client's events belong to the job"),
];

/// Puts the settings of a client together. `brokers` are its first brokers, `owned` the settings that the kind of client
/// sets by itself and refuses from the user.
///
/// # Errors
/// [`crate::error::ErrorKind::Configuration`], beginning with the key that is wrong. Values that may be secret are not in it.
pub(super) fn client_config(
    brokers: &str,
    properties: &KafkaProperties,
    owned: &[OwnedProperty],
    environment: Environment<'_>,
) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.set_log_level(log_level());
    let brokers = expand("brokers", brokers, environment)?;
    if brokers.split(',').any(|broker| broker.trim().is_empty()) {
        return invalid("brokers: must be host:port, or several of them with commas between");
    }
    config.set("bootstrap.servers", brokers);
    for (name, written) in properties.iter() {
        let key = format!("kafka.\"{name}\"");
        let mut reserved = OWNED_PROPERTIES.iter().chain(owned);
        if let Some((_, instead)) = reserved.find(|(reserved, _)| *reserved == name) {
            return invalid(format!("{key}: cannot be set here: {instead}"));
        }
        let value = expand(&key, written, environment)?;
        let is_shown = !is_secret(name) && value == written;
        check_property(&key, name, &value, is_shown)?;
        config.set(name, value);
    }
    Ok(config)
}

/// Asks librdkafka about one setting, so that the message names it.
fn check_property(key: &str, name: &str, value: &str, is_shown: bool) -> Result<()> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            invalid(format!("{key}: librdkafka has no setting of this name"))
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) if is_shown => {
            invalid(format!("{key}: librdkafka says: {reason}"))
        }
        Err(_) => invalid(format!(
            "{key}: librdkafka does not accept the value, which is not shown since it may be secret"
        )),
    }
}

fn expand(key: &str, value: &str, environment: Environment<'_>) -> Result<String> {
    replace_variables(value, environment).or_else(|problem| match problem {
        VariableProblem::Missing(name) => invalid(format!(
            "{key}: the environment variable \"{name}\" is not set; set it where the job is started"
        )),
        VariableProblem::NotClosed => invalid(format!(
            "{key}: a \"${{\" is not closed; write ${{NAME}} for an environment variable, or $${{ for the text"
        )),
    })
}

/// As much as anybody listens to: librdkafka does not put together lines that would be dropped.
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const OWNED: [OwnedProperty; 1] = [("group.id", "set group_id")];

    fn environment(name: &str) -> Option<String> {
        (name == "PASSWORD").then(|| "hunter2".to_owned())
    }

    fn config(brokers: &str, text: &str) -> Result<ClientConfig> {
        let properties: KafkaProperties = toml::from_str(text).unwrap();
        client_config(brokers, &properties, &OWNED, &environment)
    }

    fn check(brokers: &str, text: &str, problem: &str) {
        let error = config(brokers, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        let message = error.full_message();
        assert!(message.starts_with(problem), "{text}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn variables_are_replaced_in_brokers_and_settings() {
        let text = "sasl.password = '${PASSWORD}'\nfetch.min.bytes = 10";
        let config = config("a:9092, b:9092", text).unwrap();
        assert_eq!(config.get("bootstrap.servers"), Some("a:9092, b:9092"));
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("fetch.min.bytes"), Some("10"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        let brokers = "a:9092";
        check("", "", "brokers: must be host:port");
        check("a:9092,", "", "brokers: must be host:port");
        check(
            "${NOBODY}",
            "",
            "brokers: the environment variable \"NOBODY\"",
        );
        check(
            brokers,
            "group.id = 'g'",
            "kafka.\"group.id\": cannot be set here: set group_id",
        );
        check(
            brokers,
            "'bootstrap.servers' = 'b:9092'",
            "kafka.\"bootstrap.servers\": cannot be set here: set brokers",
        );
        check(
            brokers,
            "sasl.pasword = 'hunter2'",
            "kafka.\"sasl.pasword\": librdkafka has no setting of this name",
        );
        check(
            brokers,
            "security.protocol = 'tls'",
            "kafka.\"security.protocol\": librdkafka says: Invalid value \"tls\"",
        );
        check(
            brokers,
            "security.protocol = '${PASSWORD}'",
            "kafka.\"security.protocol\": librdkafka does not accept the value, which is not shown",
        );
        check(
            brokers,
            "sasl.password = '${NOBODY}'",
            "kafka.\"sasl.password\": the environment variable \"NOBODY\" is not set",
        );
        check(
            brokers,
            "sasl.password = '${PASSWORD'",
            "kafka.\"sasl.password\": a \"${\" is not closed",
        );
    }

    #[test]
    fn the_build_has_tls_sasl_and_the_usual_compressions() {
        let native = ClientConfig::new().create_native_config().unwrap();
        let features = native.get("builtin.features").unwrap();
        let features: Vec<_> = features.split(',').map(str::trim).collect();
        for wanted in [
            "ssl",
            "sasl_plain",
            "sasl_scram",
            "sasl_oauthbearer",
            "gzip",
            "snappy",
            "lz4",
            "zstd",
        ] {
            assert!(features.contains(&wanted), "{wanted}: {features:?}");
        }
    }
}
