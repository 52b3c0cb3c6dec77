//! What the fetching of records asks of a Kafka client: librdkafka's consumer, and in tests a model of a broker.

use super::assignment::Listing;
use super::chunk::Chunk;
use super::topic_partition::TopicPartition;
use super::topic_selection::TopicSelection;
use crate::error::{Error, Result};

/// Why a client could not do something.
#[derive(Debug)]
pub(super) enum ClientFailure {
    /// The broker is away or busy, as the text says: to be tried again.
    Passing(String),
    /// It will not do.
    Final(Error),
}

/// The offsets between which a partition can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetRange {
    /// The first record that is still there.
    pub(super) earliest: i64,
    /// After the last record that this reader may see.
    pub(super) latest: i64,
}

impl OffsetRange {
    /// Whether a reader can stand at this offset.
    pub(super) fn contains(self, offset: i64) -> bool {
        (self.earliest..=self.latest).contains(&offset)
    }
}

/// What came of asking a partition for its next record.
#[derive(Debug)]
pub(super) enum Polled {
    /// The record with this offset was added to the chunk.
    Record(i64),
    /// There is none now.
    Empty,
    /// All that was there has been given out.
    End,
    /// What was to be read next is gone.
    OutOfRange,
    /// The partition is no more.
    Missing,
    /// The broker is away or busy, as the text says; the client goes on by itself.
    Passing(String),
    /// It will not do.
    Failed(Error),
}

/// A Kafka client that reads partitions. Started partitions are numbered from 0, in the order in which they were started.
pub(super) trait FetchClient {
    /// What the broker knows of the topics.
    fn list(&mut self, selection: &TopicSelection) -> Result<Listing, ClientFailure>;

    /// Between which offsets a partition can be read.
    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, ClientFailure>;

    /// The offset of the first record with this time or a later one; nothing when there is none.
    fn offset_at(
        &mut self,
        partition: &TopicPartition,
        unix_millis: i64,
    ) -> Result<Option<i64>, ClientFailure>;

    /// Where the consumer group has come to, if it has been anywhere.
    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<i64>, ClientFailure>;

    /// So many partitions will be read: to be called before the first of them is started, so that there is a bound on what
    /// is fetched ahead of all of them. It may turn out that there are more.
    fn expect(&mut self, partitions: usize) -> Result<(), ClientFailure>;

    /// Begins to read a partition at an offset.
    fn start(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), ClientFailure>;

    /// Goes on at another offset, whatever became of the reading before.
    fn restart(&mut self, partition: usize, offset: i64) -> Result<(), ClientFailure>;

    /// Reads a partition no more. Its number is not used again.
    fn stop(&mut self, partition: usize);

    /// Puts the next record of a partition into `chunk`, if there is one. Waits for nothing.
    fn poll(&mut self, partition: usize, chunk: &mut Chunk) -> Polled;

    /// Heeds what belongs to no partition: log lines, errors of connections, answers to commits.
    fn poll_events(&mut self) -> Result<()>;

    /// Fetches nothing more. Of what was fetched ahead of a partition it lets go when that is polled the next time.
    fn pause(&mut self) -> Result<(), ClientFailure>;

    /// Fetches again, from behind the last record that was given out.
    fn resume(&mut self) -> Result<(), ClientFailure>;

    /// Sets the group's offsets, without waiting for it.
    fn commit(&mut self, offsets: &[(TopicPartition, i64)]);

    /// The offsets after the last records of partitions, as far as they were heard of since this was last asked.
    fn take_ends(&mut self) -> Vec<(usize, i64)>;

    /// Takes note of an answer from the broker.
    fn note_answer(&mut self);

    /// Takes note of the lack of one.
    fn note_passing(&mut self, reason: &str);
}
