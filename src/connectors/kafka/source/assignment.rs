//! Which partitions a subtask reads, and where each starts: decided from what the broker lists and from the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::item::{Position, RestoredSource};
use super::topic_partition::TopicPartition;
use super::topic_selection::TopicSelection;
use crate::error::{Error, ErrorKind, Result};

/// The topics that the broker knows, of those that were asked for.
pub(super) type Listing = BTreeMap<String, TopicListing>;

/// What the broker says about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TopicListing {
    /// It has these partitions.
    Partitions(BTreeSet<i32>),
    /// It does not exist.
    Missing,
    /// Nothing for the moment, for example while a leader is chosen.
    Unavailable,
}

/// Where a partition starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Where the checkpoint was.
    Restored(Position),
    /// Where the job says.
    Initial,
    /// At its first record: it came into being while the job ran.
    Earliest,
}

/// What a look at the broker's topics has changed for one subtask.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Discovery {
    /// Partitions to be read from now on.
    pub(super) found: Vec<(TopicPartition, Start)>,
    /// Partitions that are no more.
    pub(super) gone: Vec<TopicPartition>,
}

/// The partitions of one subtask.
#[derive(Debug)]
pub(super) struct Assignment {
    selection: TopicSelection,
    subtask: usize,
    parallelism: usize,
    restored: Option<RestoredSource>,
    /// The partitions of this subtask that were found.
    known: BTreeSet<TopicPartition>,
    is_discovered: bool,
}

impl Assignment {
    /// The assignment of `subtask`, before anything is known but the checkpoint.
    pub(super) fn new(
        selection: TopicSelection,
        subtask: usize,
        parallelism: usize,
        restored: Option<RestoredSource>,
    ) -> Self {
        Self {
            selection,
            subtask,
            parallelism,
            restored,
            known: BTreeSet::new(),
            is_discovered: false,
        }
    }

    /// The topics to ask the broker for.
    pub(super) fn selection(&self) -> &TopicSelection {
        &self.selection
    }

    /// The positions in the checkpoint that this subtask goes on from.
    pub(super) fn restored_positions(&self) -> BTreeMap<TopicPartition, Position> {
        let positions = self
            .restored
            .iter()
            .flat_map(|restored| &restored.positions);
        let own = positions.filter(|(partition, _)| {
            self.is_own(partition) && self.selection.contains(&partition.topic)
        });
        own.map(|(partition, position)| (partition.clone(), *position))
            .collect()
    }

    /// The topics in the checkpoint that the job no longer reads.
    pub(super) fn dropped_topics(&self) -> BTreeSet<Arc<str>> {
        let positions = self
            .restored
            .iter()
            .flat_map(|restored| &restored.positions);
        let topics = positions.map(|(partition, _)| Arc::clone(&partition.topic));
        topics
            .filter(|topic| !self.selection.contains(topic))
            .collect()
    }

    /// Whether every topic has been listed once.
    pub(super) fn is_discovered(&self) -> bool {
        self.is_discovered
    }

    /// Compares what the broker lists with what is known.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when a topic that the job names does not exist, or has lost a partition.
    pub(super) fn discover(&mut self, listing: &Listing) -> Result<Discovery> {
        let mut discovery = Discovery::default();
        for (topic, listed) in listing {
            match listed {
                TopicListing::Partitions(partitions) => {
                    self.find(topic, partitions, &mut discovery);
                }
                TopicListing::Missing if !self.selection.is_pattern() => {
                    return Err(Error::new(
                        ErrorKind::Configuration,
                        format!(
                            "topics: there is no topic \"{topic}\" on the broker; create it, or correct the name"
                        ),
                    ));
                }
                TopicListing::Missing | TopicListing::Unavailable => {}
            }
        }
        let unavailable = |listed: &TopicListing| *listed == TopicListing::Unavailable;
        if !listing.values().any(unavailable) {
            self.lose(listing, &mut discovery)?;
            self.is_discovered = true;
        }
        Ok(discovery)
    }

    fn find(&mut self, topic: &str, partitions: &BTreeSet<i32>, discovery: &mut Discovery) {
        let name: Arc<str> = Arc::from(topic);
        for number in partitions {
            let partition = TopicPartition {
                topic: Arc::clone(&name),
                partition: *number,
            };
            if self.is_own(&partition) && !self.known.contains(&partition) {
                let start = self.start_of(&partition);
                self.known.insert(partition.clone());
                discovery.found.push((partition, start));
            }
        }
    }

    fn start_of(&mut self, partition: &TopicPartition) -> Start {
        let is_late = self.is_discovered;
        match &mut self.restored {
            // A partition that is lost and comes back begins anew.
            Some(restored) => match restored.positions.remove(partition) {
                Some(position) => Start::Restored(position),
                None if is_late || restored.had_discovered(partition) => Start::Earliest,
                None => Start::Initial,
            },
            None if is_late => Start::Earliest,
            None => Start::Initial,
        }
    }

    /// Finds out which partitions are no longer listed.
    fn lose(&mut self, listing: &Listing, discovery: &mut Discovery) -> Result<()> {
        let is_listed = |partition: &TopicPartition| match listing.get(&*partition.topic) {
            Some(TopicListing::Partitions(numbers)) => numbers.contains(&partition.partition),
            _ => false,
        };
        let expected = self.restored_positions();
        let all = self.known.iter().chain(expected.keys());
        let gone: BTreeSet<_> = all.filter(|known| !is_listed(known)).cloned().collect();
        if let (Some(first), false) = (gone.first(), self.selection.is_pattern()) {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "topics: the partition {first} was read before, and is not on the broker any more; \
                     start afresh if the topic was made anew"
                ),
            ));
        }
        for partition in gone {
            self.known.remove(&partition);
            if let Some(restored) = &mut self.restored {
                restored.positions.remove(&partition);
            }
            discovery.gone.push(partition);
        }
        Ok(())
    }

    fn is_own(&self, partition: &TopicPartition) -> bool {
        partition.owner(self.parallelism) == self.subtask
    }
}

#[cfg(test)]
mod tests;
