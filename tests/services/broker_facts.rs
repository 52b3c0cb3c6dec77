//! What the other tests take for granted of the broker, as facts that can be seen: were one of them not so, a test of
//! exactly-once would pass without a reason.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;

use crate::support::{ANSWER_MAX, Fate, Message, Topic, kafka_address, kafka_proxy, transactional};

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn aborted_and_open_transactions_are_hidden_from_readers_of_committed_messages() {
    let topic = Topic::create("facts-hidden", 1);
    let producer = transactional(&kafka_address(), &topic.name);
    producer.begin_transaction().unwrap();
    topic.write_with(&producer, [(0, "a", "committed")]);
    producer.commit_transaction(ANSWER_MAX).unwrap();
    producer.begin_transaction().unwrap();
    topic.write_with(&producer, [(0, "a", "aborted")]);
    producer.flush(ANSWER_MAX).unwrap();
    producer.abort_transaction(ANSWER_MAX).unwrap();
    assert_eq!(values(&topic.committed()), ["committed"]);

    producer.begin_transaction().unwrap();
    topic.write_with(&producer, [(0, "a", "open")]);
    producer.flush(ANSWER_MAX).unwrap();
    // An open transaction also hides what comes after it, of whomever.
    topic.write([(0, "b", "behind")]);
    let committed = topic.read(0, "read_committed");
    assert_eq!(values(&committed), ["committed"]);
    let all = topic.read(0, "read_uncommitted");
    assert_eq!(values(&all), ["committed", "aborted", "open", "behind"]);
    producer.commit_transaction(ANSWER_MAX).unwrap();
    assert_eq!(values(&topic.committed()), ["committed", "open", "behind"]);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_producer_is_fenced_by_the_next_one_with_its_id() {
    let topic = Topic::create("facts-fenced", 1);
    let zombie = transactional(&kafka_address(), &topic.name);
    zombie.begin_transaction().unwrap();
    topic.write_with(&zombie, [(0, "a", "zombie")]);
    zombie.flush(ANSWER_MAX).unwrap();
    let owner = transactional(&kafka_address(), &topic.name);
    let refused = zombie.commit_transaction(ANSWER_MAX).unwrap_err();
    let KafkaError::Transaction(reason) = &refused else {
        panic!("{refused}");
    };
    assert!(reason.is_fatal(), "{refused}");
    assert!(
        matches!(
            reason.code(),
            RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced
        ),
        "{refused}"
    );
    owner.begin_transaction().unwrap();
    topic.write_with(&owner, [(0, "a", "owner")]);
    owner.commit_transaction(ANSWER_MAX).unwrap();
    assert_eq!(values(&topic.committed()), ["owner"]);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_transaction_is_committed_when_only_the_answer_is_lost_and_open_when_the_request_is() {
    const END_TXN: &str = "26";
    for is_answer in [true, false] {
        let topic = Topic::create("facts-lost", 1);
        let proxy = kafka_proxy(&kafka_address());
        let producer = transactional(&proxy.address, &topic.name);
        producer.begin_transaction().unwrap();
        topic.write_with(&producer, [(0, "a", "committed")]);
        producer.flush(ANSWER_MAX).unwrap();
        let (sender, seen) = sync_channel(1);
        proxy.set(move |passing| {
            if passing.call == END_TXN && passing.is_answer == is_answer {
                // It asks again and again.
                let _ = sender.try_send(());
                return Fate::Lose;
            }
            Fate::Pass
        });
        let unheard = producer.commit_transaction(Duration::from_millis(100));
        unheard.unwrap_err();
        seen.recv_timeout(ANSWER_MAX).unwrap();
        let expected: &[&str] = if is_answer { &["committed"] } else { &[] };
        assert_eq!(values(&topic.read(0, "read_committed")), expected);
        // Asked once more, it says that it is done.
        proxy.set(|_| Fate::Pass);
        producer.commit_transaction(ANSWER_MAX).unwrap();
        assert_eq!(values(&topic.committed()), ["committed"]);
    }
}

fn values(messages: &[Message]) -> Vec<&str> {
    let values = messages.iter().map(|message| message.value.as_deref());
    values.map(Option::unwrap).collect()
}
