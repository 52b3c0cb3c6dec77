//! A made-up subtask: it holds numbers, and what it seals is text.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::model::KeyGroupRange;
use crate::snapshot::test_support::{sealed_operator, sealed_state};
use crate::snapshot::{SealedOperator, SnapshotWriter};
use crate::state::{
    BaseContent, BaseOutlet, BaseStream, BaseWay, Epoch, RestoredState, SealedBase, StreamProgress,
};

use super::ledger::Numbers;

/// The distance between two keys.
const KEY_STEP: usize = 9;

/// One subtask: what it holds, and its writer.
pub(super) struct TestSubtask {
    pub(super) writer: SnapshotWriter,
    pub(super) numbers: Numbers,
    key_groups: KeyGroupRange,
    touched: BTreeSet<u16>,
    epoch: u64,
    /// A base that is being copied: its first epoch, and what was there when it began.
    copying: Option<(u64, Numbers)>,
    outlet: Arc<dyn BaseOutlet>,
    /// The store's end of the way for bases.
    uploads: BoxFuture<'static, ()>,
    /// A base on that way.
    streamed: Option<StreamedBase>,
}

/// A base that is stored while the job goes on.
struct StreamedBase {
    first_epoch: u64,
    bytes: u64,
    stream: Box<dyn BaseStream>,
}

impl TestSubtask {
    pub(super) fn new(writer: SnapshotWriter, key_groups: KeyGroupRange, numbers: Numbers) -> Self {
        let (outlet, uploads) = writer.base_way(1);
        Self {
            outlet,
            uploads: uploads.run().boxed(),
            streamed: None,
            writer,
            numbers,
            key_groups,
            touched: BTreeSet::new(),
            epoch: 0,
            copying: None,
        }
    }

    /// Gives a few keys new numbers, all of them greater than `last_number`.
    pub(super) fn work(&mut self, rng: &mut Rng, last_number: &mut u64) {
        if self.copying.is_none() && rng.u8(0..3) == 0 {
            self.copying = Some((self.epoch + 1, self.numbers.clone()));
        }
        let groups = self.key_groups.start..self.key_groups.end;
        for key in groups.step_by(KEY_STEP) {
            if rng.u8(0..4) == 0 {
                *last_number += 1;
                self.numbers.insert(key, *last_number);
                self.touched.insert(key);
            }
        }
    }

    /// Has the base that is being copied stored, perhaps, and lets that get some steps further.
    pub(super) async fn stream(&mut self, rng: &mut Rng) {
        if self.streamed.is_none()
            && rng.bool()
            && let Some((first_epoch, numbers)) = self.copying.take()
        {
            self.begin_stream(first_epoch, &encode(&numbers), rng);
        }
        let mut steps = rng.u8(0..20);
        let uploads = &mut self.uploads;
        poll_fn(|context| {
            // It ends with the subtask only.
            let _ = uploads.poll_unpin(context);
            steps = steps.saturating_sub(1);
            match steps {
                0 => Poll::Ready(()),
                _ => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await;
        let has_failed = |base: &StreamedBase| base.stream.progress() == StreamProgress::Failed;
        if self.streamed.as_ref().is_some_and(has_failed) || rng.u8(0..20) == 0 {
            self.streamed = None;
        }
    }

    fn begin_stream(&mut self, first_epoch: u64, text: &str, rng: &mut Rng) {
        let BaseWay::Stream(mut stream) = self.outlet.begin(text.len() as u64) else {
            return;
        };
        let middle = rng.usize(0..=text.len());
        for chunk in [&text[..middle], &text[middle..]] {
            if !chunk.is_empty() {
                stream.push(Bytes::copy_from_slice(chunk.as_bytes()));
            }
        }
        stream.end();
        self.streamed = Some(StreamedBase {
            first_epoch,
            bytes: text.len() as u64,
            stream,
        });
    }

    /// What a barrier seals.
    pub(super) fn seal(&mut self, rng: &mut Rng) -> SealedOperator {
        self.epoch += 1;
        let delta = encode(self.touched.iter().map(|key| (key, &self.numbers[key])));
        self.touched.clear();
        // A base takes a few epochs, or none.
        let copied = match rng.bool() {
            true => self.copying.take(),
            false => None,
        };
        let base = copied.map(|(first_epoch, numbers)| (first_epoch, encode(&numbers)));
        let base = base
            .as_ref()
            .map(|(first_epoch, text)| (*first_epoch, text.as_str()));
        let mut state = sealed_state("numbers", self.epoch, &delta, base);
        let is_stored = |base: &mut StreamedBase| base.stream.progress() == StreamProgress::Stored;
        // The older one of two is of no use.
        if state.base.is_none()
            && let Some(base) = self.streamed.take_if(is_stored)
        {
            state.base = Some(SealedBase {
                first_epoch: Epoch(base.first_epoch),
                content: BaseContent::Streamed {
                    number: base.stream.hand_over(),
                    bytes: base.bytes,
                },
            });
        }
        sealed_operator("sum", vec![state])
    }
}

/// The numbers in what a subtask was given back.
pub(super) fn decode(states: &[RestoredState]) -> Numbers {
    let mut numbers = Numbers::new();
    for part in states.iter().flat_map(|state| state.parts.fetch().unwrap()) {
        for piece in part.base.iter().chain(&part.deltas) {
            let text = std::str::from_utf8(piece).unwrap();
            let records = text.lines().map(|line| line.split_once(' ').unwrap());
            let records =
                records.map(|(key, number)| (key.parse().unwrap(), number.parse().unwrap()));
            let groups = part.key_groups.start..part.key_groups.end;
            numbers.extend(records.filter(|(key, _)| groups.contains(key)));
        }
    }
    numbers
}

fn encode<'a>(numbers: impl IntoIterator<Item = (&'a u16, &'a u64)>) -> String {
    let line = |(key, number): (&u16, &u64)| format!("{key} {number}\n");
    numbers.into_iter().map(line).collect()
}
