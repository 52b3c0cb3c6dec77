//! What a librdkafka client says of its own accord: log lines, and errors that belong to no call.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use tracing::{debug, error, info, warn};

use super::failure::{FailureKind, refusal};
use super::outage::Outage;
use crate::error::Error;
use crate::model::{OperatorId, SharedClock};

/// The ear of one client. A broker that is away is warned about once in a while; librdkafka tries again by itself.
/// What the broker refuses for good is kept until the client's owner asks for it.
#[derive(Clone)]
pub(super) struct ClientEvents {
    operator: OperatorId,
    clock: SharedClock,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    outage: Outage,
    /// Failed commits of the group's offsets.
    failed_commits: Outage,
    /// Whether the broker has answered since the client was made.
    connected: bool,
    refusal: Option<Error>,
}

impl ClientEvents {
    /// The ear of a client of `operator`.
    pub(super) fn new(operator: OperatorId, clock: SharedClock) -> Self {
        Self {
            operator,
            clock,
            heard: Arc::default(),
        }
    }

    /// Takes note of an answer from the broker.
    pub(super) fn connected(&self) {
        let ended = self.with_heard(|heard| {
            heard.connected = true;
            heard.refusal = None;
            heard.outage.end()
        });
        if ended {
            info!(operator = %self.operator, "the kafka broker answers again");
        }
    }

    /// Warns about a passing failure, unless that was done just now.
    pub(super) fn passing(&self, reason: &str) {
        let now = self.clock.elapsed();
        if self.with_heard(|heard| heard.outage.is_news(now)) {
            warn!(operator = %self.operator, reason, "the kafka broker does not answer; trying again");
        }
    }

    /// Warns that the group's offsets could not be set, unless that was done just now. Nothing depends on them but what
    /// others see of the group.
    pub(super) fn commit_failed(&self, reason: &str) {
        let now = self.clock.elapsed();
        if self.with_heard(|heard| heard.failed_commits.is_news(now)) {
            warn!(operator = %self.operator, reason, "the offsets of the consumer group could not be set");
        }
    }

    /// What the broker has refused before it ever answered: nothing that would pass by itself.
    pub(super) fn take_refusal(&self) -> Option<Error> {
        self.with_heard(|heard| heard.refusal.take())
    }

    fn with_heard<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        // Nothing in here is left half done by a panic.
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut heard)
    }
}

impl ClientContext for ClientEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            // A failed connection also comes as an error, which is told once in a while only.
            _ if facility == "FAIL" => debug!(target: "librdkafka", facility, "{line}"),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                warn!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                info!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Debug => debug!(target: "librdkafka", facility, "{line}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let text = String::from_utf8_lossy(statistics);
        debug!(target: "librdkafka", "statistics: {text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let kind = FailureKind::of(&error);
        let is_final = kind == FailureKind::Authentication;
        let refused = is_final
            && self.with_heard(|heard| {
                if !heard.connected {
                    heard.refusal = Some(refusal(kind, "connect to kafka", reason));
                }
                !heard.connected
            });
        if !refused {
            self.passing(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;
    use crate::error::ErrorKind;
    use crate::model::ManualClock;

    fn events() -> ClientEvents {
        ClientEvents::new(OperatorId::new("in"), Arc::new(ManualClock::default()))
    }

    #[test]
    fn wrong_credentials_are_final_until_the_broker_has_accepted_them_once() {
        let error = || KafkaError::Global(RDKafkaErrorCode::SaslAuthenticationFailed);
        let events = events();
        events.error(error(), "sasl: no such user");
        let refusal = events.take_refusal().unwrap();
        assert_eq!(refusal.kind(), ErrorKind::Configuration);
        assert!(refusal.to_string().contains("no such user"), "{refusal}");
        events.connected();
        events.error(error(), "sasl: no such user");
        assert!(events.take_refusal().is_none());
    }

    #[test]
    fn a_broker_that_is_away_is_no_refusal() {
        let events = events();
        let error = KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);
        events.error(error, "1/1 brokers are down");
        assert!(events.take_refusal().is_none());
    }
}
