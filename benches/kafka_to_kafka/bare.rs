//! The bare mechanism: each thread has a consumer and a producer, and hands on what it reads.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::topic::{ANSWER_MAX, PARTITIONS, Topic, send};

/// How many records are sent between two looks at the answers.
const SENT_BETWEEN_ANSWERS: usize = 1024;

/// Hands on all of `input`, by so many threads, and says how long it took.
pub(crate) fn run(input: &Topic, output: &Topic, threads: usize) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for index in 0..threads {
            let partitions =
                (0..PARTITIONS).filter(move |partition| *partition as usize % threads == index);
            scope.spawn(move || hand_on(input, output, &partitions.collect::<Vec<_>>()));
        }
    });
    start.elapsed()
}

fn hand_on(input: &Topic, output: &Topic, partitions: &[i32]) {
    let mut client = input.client();
    client
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = client.create().unwrap();
    let producer: BaseProducer = output.client().create().unwrap();
    let mut from = TopicPartitionList::new();
    for partition in partitions {
        from.add_partition_offset(&input.name, *partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&from).unwrap();
    let mut left = partitions.len();
    let mut sent = 0_usize;
    while left > 0 {
        match consumer.poll(ANSWER_MAX) {
            Some(Ok(message)) => {
                let key = std::str::from_utf8(message.key().unwrap()).unwrap();
                send(
                    &producer,
                    &output.name,
                    message.partition(),
                    key,
                    message.payload().unwrap(),
                );
                sent += 1;
                // The answers for what was sent are taken up now and then.
                if sent.is_multiple_of(SENT_BETWEEN_ANSWERS) {
                    producer.poll(Duration::ZERO);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            other => panic!("{other:?}"),
        }
    }
    producer.flush(ANSWER_MAX).unwrap();
}
