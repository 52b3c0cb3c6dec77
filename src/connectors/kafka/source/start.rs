//! Where a partition starts and ends, in offsets.

use super::assignment::Start;
use super::config::KafkaSourceConfig;
use super::fetch_client::{ClientFailure, FetchClient, OffsetRange};
use super::item::Position;
use super::offsets::{AutoOffsetReset, BoundedMode, StartupMode, TopicOffsets, UnixMillis};
use super::topic_partition::TopicPartition;
use crate::error::{Error, ErrorKind};

/// What the job says about starts and ends.
#[derive(Clone, Debug)]
pub(super) struct OffsetRules {
    startup_mode: StartupMode,
    startup_timestamp: Option<UnixMillis>,
    startup_offsets: TopicOffsets,
    bounded_mode: BoundedMode,
    bounded_timestamp: Option<UnixMillis>,
    bounded_offsets: TopicOffsets,
    auto_offset_reset: AutoOffsetReset,
}

impl OffsetRules {
    /// What `config` says.
    pub(super) fn of(config: &KafkaSourceConfig) -> Self {
        Self {
            startup_mode: config.startup_mode,
            startup_timestamp: config.startup_timestamp,
            startup_offsets: config.startup_offsets.clone().unwrap_or_default(),
            bounded_mode: config.bounded_mode,
            bounded_timestamp: config.bounded_timestamp,
            bounded_offsets: config.bounded_offsets.clone().unwrap_or_default(),
            auto_offset_reset: config.auto_offset_reset,
        }
    }

    /// Where a partition starts and ends. The broker is asked only for what must be known now.
    pub(super) fn resolve(
        &self,
        partition: &TopicPartition,
        start: Start,
        client: &mut impl FetchClient,
    ) -> Result<Position, ClientFailure> {
        let position = match start {
            Start::Restored(position) => position,
            Start::Initial => Position::at(self.initial(partition, client)?),
            Start::Earliest => Position::at(client.range(partition)?.earliest),
        };
        let end = match (position.end, self.bounded_mode) {
            (_, BoundedMode::Unbounded) => None,
            (Some(end), _) => Some(end),
            (None, _) => Some(self.end(partition, client)?),
        };
        Ok(Position { end, ..position })
    }

    /// Where to go on when the offset that was to be read is gone.
    ///
    /// # Errors
    /// When the job does not say that it may go on elsewhere.
    pub(super) fn reset(
        &self,
        partition: &TopicPartition,
        offset: i64,
        range: OffsetRange,
    ) -> Result<i64, Error> {
        let OffsetRange { earliest, latest } = range;
        match self.auto_offset_reset {
            AutoOffsetReset::Earliest => Ok(earliest),
            AutoOffsetReset::Latest => Ok(latest),
            AutoOffsetReset::None => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "read {partition}: offset {offset} is out of range, the broker has {earliest} to {latest}; \
                     start from a checkpoint whose offset is there, or set auto_offset_reset to go on elsewhere"
                ),
            )),
        }
    }

    fn initial(
        &self,
        partition: &TopicPartition,
        client: &mut impl FetchClient,
    ) -> Result<i64, ClientFailure> {
        match self.startup_mode {
            StartupMode::EarliestOffset => Ok(client.range(partition)?.earliest),
            StartupMode::LatestOffset => Ok(client.range(partition)?.latest),
            StartupMode::GroupOffsets => match client.committed(partition)? {
                Some(offset) => Ok(offset),
                None => self.without_group_offset(partition, client),
            },
            StartupMode::Timestamp => offset_at(partition, self.startup_timestamp, client),
            StartupMode::SpecificOffsets => {
                let given = self
                    .startup_offsets
                    .get(&partition.topic, partition.partition);
                match given {
                    Some(offset) => Ok(offset),
                    None => Ok(client.range(partition)?.earliest),
                }
            }
        }
    }

    fn without_group_offset(
        &self,
        partition: &TopicPartition,
        client: &mut impl FetchClient,
    ) -> Result<i64, ClientFailure> {
        match self.auto_offset_reset {
            AutoOffsetReset::Earliest => Ok(client.range(partition)?.earliest),
            AutoOffsetReset::Latest => Ok(client.range(partition)?.latest),
            AutoOffsetReset::None => Err(ClientFailure::Final(Error::new(
                ErrorKind::Configuration,
                format!(
                    "startup_mode: the group has no offset for {partition}; choose another mode, or set \
                     auto_offset_reset to \"earliest\" or \"latest\""
                ),
            ))),
        }
    }

    /// Where a bounded source ends. It is never beyond what is there now: what may never come is not waited for.
    fn end(
        &self,
        partition: &TopicPartition,
        client: &mut impl FetchClient,
    ) -> Result<i64, ClientFailure> {
        let latest = client.range(partition)?.latest;
        match self.bounded_mode {
            BoundedMode::Unbounded | BoundedMode::LatestOffset => Ok(latest),
            BoundedMode::Timestamp => {
                Ok(offset_at(partition, self.bounded_timestamp, client)?.min(latest))
            }
            BoundedMode::SpecificOffsets => {
                let given = self
                    .bounded_offsets
                    .get(&partition.topic, partition.partition);
                given.map(|end| end.min(latest)).ok_or_else(|| {
                    ClientFailure::Final(Error::new(
                        ErrorKind::Configuration,
                        format!("bounded_offsets: there is no offset for {partition}; name one"),
                    ))
                })
            }
        }
    }
}

impl Position {
    fn at(offset: i64) -> Self {
        Self {
            offset,
            end: None,
            watermark: None,
        }
    }
}

/// The first offset of a moment; that of the end when nothing is as late.
fn offset_at(
    partition: &TopicPartition,
    moment: Option<UnixMillis>,
    client: &mut impl FetchClient,
) -> Result<i64, ClientFailure> {
    let UnixMillis(millis) = moment.unwrap_or(UnixMillis(0));
    match client.offset_at(partition, millis)? {
        Some(offset) => Ok(offset),
        None => Ok(client.range(partition)?.latest),
    }
}

#[cfg(test)]
mod tests;
