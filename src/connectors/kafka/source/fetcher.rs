//! What the fetching thread does, turn by turn: it discovers partitions, fetches from them in rotation, and stops when the
//! subtask does not keep up. The client and the time are parameters.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::assignment::{Assignment, Start, TopicListing};
use super::chunk::Chunk;
use super::fetch_client::{ClientFailure, FetchClient, Polled};
use super::fetch_queue::{FetchEvent, FetchQueue, Wait};
use super::item::Position;
use super::start::OffsetRules;
use super::topic_partition::TopicPartition;
use crate::error::{Error, ErrorKind, Result};

/// How many records one partition gives before the next has its turn.
const CHUNK_ROWS_MAX: usize = 1024;

/// How many bytes a chunk has grown to when it is full.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// How long after a failed look at the broker's topics the next one is.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How often the client's events are looked at when nothing else happens.
const EVENTS_PAUSE: Duration = Duration::from_millis(200);

/// How long the queue must have been full before partitions are paused. A pause throws away what was fetched ahead, so it
/// is for a subtask that stands still, not for one that is a little slower than the broker.
const PAUSE_AFTER: Duration = Duration::from_secs(2);

/// The fetching of one subtask's partitions.
pub(super) struct Fetcher<C> {
    client: C,
    assignment: Assignment,
    rules: OffsetRules,
    discovery_interval: Option<Duration>,
    queue: Arc<FetchQueue>,
    /// When to look for partitions; nothing for never again.
    discovery_due: Option<Duration>,
    /// Partitions that were found, and whose offsets the broker has not told yet.
    pending: Vec<(TopicPartition, Start)>,
    has_told_of_discovery: bool,
    /// By their numbers.
    partitions: Vec<Fetched>,
    /// Whose turn it is.
    turn: usize,
    full_since: Option<Duration>,
    is_paused: bool,
}

/// One started partition.
struct Fetched {
    partition: TopicPartition,
    /// The next record to fetch.
    offset: i64,
    end: Option<i64>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    /// What was to be read next is gone.
    OutOfRange,
    /// At its end, or no more.
    Ended,
}

impl<C: FetchClient> Fetcher<C> {
    /// A fetcher that has not looked for partitions yet.
    pub(super) fn new(
        client: C,
        assignment: Assignment,
        rules: OffsetRules,
        discovery_interval: Option<Duration>,
        queue: Arc<FetchQueue>,
    ) -> Self {
        Self {
            client,
            assignment,
            rules,
            discovery_interval,
            queue,
            discovery_due: Some(Duration::ZERO),
            pending: Vec::new(),
            has_told_of_discovery: false,
            partitions: Vec::new(),
            turn: 0,
            full_since: None,
            is_paused: false,
        }
    }

    /// Does what can be done without waiting for records, and says what to wait for.
    ///
    /// # Errors
    /// When the source cannot go on.
    pub(super) fn turn(&mut self, now: Duration) -> Result<Wait> {
        if let Some(offsets) = self.queue.take_commit() {
            self.client.commit(&offsets);
        }
        self.client.poll_events()?;
        let ends = self.client.take_ends();
        if !ends.is_empty() {
            self.queue.push(FetchEvent::Ends(ends));
        }
        if self.discovery_due.is_some_and(|due| due <= now) {
            let pause = match self.discover() {
                Ok(()) => self.discovery_interval,
                Err(failure) => {
                    // What the client has heard of its connections says more than that nobody has answered.
                    self.client.poll_events()?;
                    self.pass_over(failure)?;
                    Some(RETRY_PAUSE)
                }
            };
            self.discovery_due = pause.map(|pause| now.saturating_add(pause));
        }
        if !self.queue.has_room() {
            self.hold_back(now)?;
            return Ok(Wait::Room(EVENTS_PAUSE));
        }
        self.go_on()?;
        if self.fetch()? {
            return Ok(Wait::Nothing);
        }
        let until_discovery = self.discovery_due.map(|due| due.saturating_sub(now));
        Ok(Wait::Arrival(
            until_discovery.unwrap_or(EVENTS_PAUSE).min(EVENTS_PAUSE),
        ))
    }

    /// Looks for partitions, and starts those that are new.
    fn discover(&mut self) -> Result<(), ClientFailure> {
        let listing = self.client.list(self.assignment.selection())?;
        self.client.note_answer();
        let discovery = self
            .assignment
            .discover(&listing)
            .map_err(ClientFailure::Final)?;
        let is_there = |listed: &TopicListing| *listed != TopicListing::Missing;
        if self.discovery_interval.is_none() && !listing.values().any(is_there) {
            return Err(ClientFailure::Final(Error::new(
                ErrorKind::Configuration,
                "topic_pattern: no topic matches, and partition_discovery_interval does not let it be looked for again",
            )));
        }
        for partition in discovery.gone {
            self.lose(&partition);
        }
        self.pending.extend(discovery.found);
        if self.partitions.is_empty() && !self.pending.is_empty() {
            self.client.expect(self.pending.len())?;
        }
        // What is started leaves the list one by one: a failure keeps the rest for the next time.
        while let Some((partition, start)) = self.pending.first().cloned() {
            let position = self.rules.resolve(&partition, start, &mut self.client)?;
            let reset = self.reset_at_start(&partition, start, position)?;
            let position = Position {
                offset: reset.unwrap_or(position.offset),
                ..position
            };
            let is_at_end = position.end.is_some_and(|end| position.offset >= end);
            self.client.start(&partition, position.offset)?;
            self.pending.remove(0);
            let number = self.partitions.len();
            self.partitions.push(Fetched {
                partition: partition.clone(),
                offset: position.offset,
                end: position.end,
                phase: Phase::Reading,
            });
            info!(%partition, offset = position.offset, "reading a partition");
            self.queue.push(FetchEvent::Started(partition, position));
            if let Some(offset) = reset {
                self.queue.push(FetchEvent::Reset(number, offset));
            }
            if is_at_end {
                self.end(number);
            }
            if self.is_paused {
                self.client.pause()?;
            }
        }
        if self.assignment.is_discovered() && !self.has_told_of_discovery {
            self.has_told_of_discovery = true;
            self.queue.push(FetchEvent::Discovered);
        } else if !self.assignment.is_discovered() {
            let reason = "not all topics can be listed yet".to_owned();
            return Err(ClientFailure::Passing(reason));
        }
        Ok(())
    }

    /// Where a restored partition goes on if its offset is gone. A topic that was made anew under the name can have room for
    /// the offset, and other records at it; as long as it has not, that is seen here.
    fn reset_at_start(
        &mut self,
        partition: &TopicPartition,
        start: Start,
        position: Position,
    ) -> Result<Option<i64>, ClientFailure> {
        if !matches!(start, Start::Restored(_)) {
            return Ok(None);
        }
        let range = self.client.range(partition)?;
        if range.contains(position.offset) {
            return Ok(None);
        }
        let reset = self.rules.reset(partition, position.offset, range);
        let offset = reset.map_err(ClientFailure::Final)?;
        warn_of_reset(partition, position.offset, offset);
        Ok(Some(offset))
    }

    fn lose(&mut self, partition: &TopicPartition) {
        warn!(%partition, "the partition is gone, and is read no more");
        self.pending.retain(|(pending, _)| pending != partition);
        let is_lost =
            |fetched: &Fetched| fetched.partition == *partition && fetched.phase != Phase::Ended;
        if let Some(number) = self.partitions.iter().position(is_lost) {
            self.partitions[number].phase = Phase::Ended;
            self.client.stop(number);
        }
        self.queue.push(FetchEvent::Gone(partition.clone()));
    }

    /// The subtask does not keep up.
    fn hold_back(&mut self, now: Duration) -> Result<()> {
        let full_since = *self.full_since.get_or_insert(now);
        if self.is_paused || now.saturating_sub(full_since) < PAUSE_AFTER {
            return Ok(());
        }
        match self.client.pause() {
            Ok(()) => self.is_paused = true,
            Err(failure) => return self.pass_over(failure),
        }
        // The client lets go of what it has fetched ahead when it is polled, and not before.
        for number in 0..self.partitions.len() {
            if self.partitions[number].phase == Phase::Reading {
                self.fetch_from(number)?;
            }
        }
        Ok(())
    }

    /// The subtask has made room.
    fn go_on(&mut self) -> Result<()> {
        self.full_since = None;
        if self.is_paused {
            match self.client.resume() {
                Ok(()) => self.is_paused = false,
                Err(failure) => self.pass_over(failure)?,
            }
        }
        Ok(())
    }

    /// Fetches from each partition once, as long as there is room. Says whether there is more to be had.
    fn fetch(&mut self) -> Result<bool> {
        let mut has_more = false;
        for _ in 0..self.partitions.len() {
            if !self.queue.has_room() {
                return Ok(true);
            }
            let number = self.turn % self.partitions.len();
            self.turn = number + 1;
            match self.partitions[number].phase {
                Phase::Reading => has_more |= self.fetch_from(number)?,
                Phase::OutOfRange => self.reset(number)?,
                Phase::Ended => {}
            }
        }
        Ok(has_more)
    }

    /// Fetches one chunk. Says whether the partition has more.
    fn fetch_from(&mut self, number: usize) -> Result<bool> {
        let fetched = &mut self.partitions[number];
        let mut chunk = Chunk::of(number);
        let mut has_more = true;
        let mut has_ended = false;
        while chunk.len() < CHUNK_ROWS_MAX && chunk.bytes() < CHUNK_BYTES_MAX {
            match self.client.poll(number, &mut chunk) {
                Polled::Record(offset) => {
                    let is_beyond_end = fetched.end.is_some_and(|end| offset >= end);
                    if is_beyond_end || offset < fetched.offset {
                        // The second is what a client fetched before it was told to go on elsewhere.
                        chunk.pop();
                    } else {
                        fetched.offset = offset + 1;
                    }
                    if fetched.end.is_some_and(|end| offset + 1 >= end) {
                        has_ended = true;
                        break;
                    }
                    continue;
                }
                Polled::Empty => {}
                // The end of a bounded source was there before it was read, so the end of all is beyond it.
                Polled::End => has_ended = fetched.end.is_some(),
                Polled::OutOfRange => fetched.phase = Phase::OutOfRange,
                // What the broker lists says whether it is gone for good.
                Polled::Missing => self.discovery_due = Some(Duration::ZERO),
                Polled::Passing(reason) => self.client.note_passing(&reason),
                Polled::Failed(error) => return Err(error),
            }
            has_more = false;
            break;
        }
        if !chunk.is_empty() {
            self.client.note_answer();
            self.queue.push(FetchEvent::Records(chunk));
        }
        if has_ended {
            self.end(number);
        }
        Ok(has_more && !has_ended)
    }

    /// A bounded partition has come to its end.
    fn end(&mut self, number: usize) {
        self.partitions[number].phase = Phase::Ended;
        self.client.stop(number);
        self.queue.push(FetchEvent::Reached(number));
    }

    /// Goes on where there is something to read, if the job says so.
    fn reset(&mut self, number: usize) -> Result<()> {
        let fetched = &mut self.partitions[number];
        let range = match self.client.range(&fetched.partition) {
            Ok(range) => range,
            Err(failure) => return self.pass_over(failure),
        };
        let lost = fetched.offset;
        let offset = match range.contains(lost) {
            // The broker has changed its mind, as after the choice of another leader.
            true => lost,
            false => self.rules.reset(&fetched.partition, lost, range)?,
        };
        if let Err(failure) = self.client.restart(number, offset) {
            return self.pass_over(failure);
        }
        fetched.phase = Phase::Reading;
        if offset == lost {
            return Ok(());
        }
        warn_of_reset(&fetched.partition, lost, offset);
        fetched.offset = offset;
        self.queue.push(FetchEvent::Reset(number, offset));
        if fetched.end.is_some_and(|end| offset >= end) {
            self.end(number);
        }
        Ok(())
    }

    /// What passes is noted and tried again later.
    fn pass_over(&mut self, failure: ClientFailure) -> Result<()> {
        match failure {
            ClientFailure::Passing(reason) => {
                self.client.note_passing(&reason);
                Ok(())
            }
            ClientFailure::Final(error) => Err(error),
        }
    }
}

/// A jump is never silent.
fn warn_of_reset(partition: &TopicPartition, lost: i64, offset: i64) {
    warn!(
        %partition,
        lost,
        offset,
        "the offset to be read is out of range: records may be lost or come again"
    );
}

#[cfg(test)]
mod tests;
