//! What an error of librdkafka means for the job.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::{Error, ErrorKind};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The broker is away or busy: it is tried again, by librdkafka or by the caller.
    Passing,
    /// The broker does not accept who we are, or how we encrypt.
    Authentication,
    /// The user must be given a right.
    Authorization,
    /// The topic or the partition does not exist.
    UnknownTopic,
    /// Another producer has taken the transactional id over.
    Fenced,
    /// A record, or all of a request, is larger than the broker takes.
    TooLarge,
    /// Nothing else than to report it.
    Fatal,
}

impl FailureKind {
    /// The meaning of an error.
    pub(super) fn of(error: &KafkaError) -> Self {
        error
            .rdkafka_error_code()
            .map_or(Self::Fatal, Self::of_code)
    }

    /// The meaning of an error's code.
    pub(super) fn of_code(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::BrokerTransportFailure
            | Code::Resolve
            | Code::MessageTimedOut
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::WaitCache
            | Code::Retry
            | Code::DestroyBroker
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RebalanceInProgress
            | Code::NotController
            | Code::ConcurrentTransactions
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::RebootstrapRequired => Self::Passing,
            Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SecurityDisabled => Self::Authentication,
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => Self::Authorization,
            Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::InvalidTopic => Self::UnknownTopic,
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Self::Fenced,
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
                Self::TooLarge
            }
            _ => Self::Fatal,
        }
    }

    /// What the caller can do about it.
    pub(super) fn error_kind(self) -> ErrorKind {
        match self {
            Self::Passing | Self::Fatal => ErrorKind::Environment,
            Self::Authentication | Self::Authorization | Self::UnknownTopic => {
                ErrorKind::Configuration
            }
            Self::Fenced => ErrorKind::Conflict,
            Self::TooLarge => ErrorKind::Data,
        }
    }

    /// What the user should look at, for the end of a message.
    fn advice(self) -> &'static str {
        match self {
            Self::Passing => "the broker is away or busy; start the job again when it is back",
            Self::Authentication => {
                "check security.protocol, sasl.* and ssl.* in the kafka table of the job"
            }
            Self::Authorization => "grant the user of the job this right on the broker",
            Self::UnknownTopic => "create the topic, or correct its name",
            Self::Fenced => "another process runs this job; stop one of the two",
            Self::TooLarge => {
                "raise message.max.bytes in the kafka table of the job and on the broker"
            }
            Self::Fatal => "see what the broker says of it",
        }
    }
}

/// The error of something that failed for good; `what` says what was tried, with topic and partition.
pub(super) fn failure(what: impl std::fmt::Display, error: &KafkaError) -> Error {
    let kind = FailureKind::of(error);
    refusal(kind, what, &reason(error))
}

/// The same, when librdkafka gave the reason in its own words.
pub(super) fn refusal(kind: FailureKind, what: impl std::fmt::Display, reason: &str) -> Error {
    let message = format!("{what}: {reason}; {}", kind.advice());
    Error::new(kind.error_kind(), message)
}

/// What an error says, without the operation that librdkafka puts before it.
pub(super) fn reason(error: &KafkaError) -> String {
    match error {
        // The message holds the value, which may be a secret.
        KafkaError::ClientConfig(_, _, key, _) => format!("{key} is not accepted"),
        KafkaError::Transaction(error) => error.to_string(),
        _ => match error.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: RDKafkaErrorCode, kind: FailureKind, error_kind: ErrorKind) {
        let error = KafkaError::Global(code);
        assert_eq!(FailureKind::of(&error), kind, "{code}");
        let error = failure("read topic \"in\"", &error);
        assert_eq!(error.kind(), error_kind, "{code}");
        let message = error.to_string();
        assert!(message.starts_with("read topic \"in\": "), "{message}");
        assert!(message.ends_with(kind.advice()), "{message}");
    }

    #[test]
    fn a_code_says_what_the_user_can_do() {
        use FailureKind::*;
        use RDKafkaErrorCode as Code;
        check(
            Code::BrokerTransportFailure,
            Passing,
            ErrorKind::Environment,
        );
        check(Code::NotLeaderForPartition, Passing, ErrorKind::Environment);
        check(
            Code::SaslAuthenticationFailed,
            Authentication,
            ErrorKind::Configuration,
        );
        check(Code::SSL, Authentication, ErrorKind::Configuration);
        check(
            Code::TopicAuthorizationFailed,
            Authorization,
            ErrorKind::Configuration,
        );
        check(
            Code::UnknownTopicOrPartition,
            UnknownTopic,
            ErrorKind::Configuration,
        );
        check(Code::ProducerFenced, Fenced, ErrorKind::Conflict);
        check(Code::MessageSizeTooLarge, TooLarge, ErrorKind::Data);
        check(Code::InvalidRequiredAcks, Fatal, ErrorKind::Environment);
    }

    #[test]
    fn a_setting_that_is_not_accepted_does_not_show_its_value() {
        let client = rdkafka::ClientConfig::new()
            .set("sasl.password", "hunter2")
            .set("security.protocol", "hunter2")
            .create::<rdkafka::consumer::BaseConsumer>();
        let error = client.err().unwrap();
        assert!(
            !failure("connect", &error)
                .full_message()
                .contains("hunter2")
        );
    }
}
