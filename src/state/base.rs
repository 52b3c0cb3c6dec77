//! The base: when it is due, how far it has come, and its bytes until the next barrier takes them along.

use std::sync::Arc;

use super::base_outlet::{BaseOutlet, BaseStream, BaseWay, StreamProgress};
use super::log::RecordLog;
use super::piece::{FOOTER_BYTES, Footer};
use super::sealed::{BaseContent, Epoch, SealedBase};
use super::table::Cursor;
use crate::error::Result;

/// No base is begun before the deltas have at least this size: a small state's deltas are read back in no time.
const DELTA_BYTES_MIN: u64 = 1 << 20;

/// Each delta counts for at least this: a small one still has its line in every manifest and its read at a restore.
const DELTA_BYTES_COUNTED_MIN: u64 = 16 << 10;

/// A base is begun after this many deltas, however small they were beside the state.
const DELTAS_MAX: u32 = 1000;

/// No barrier gives all of a state that is smaller than this.
const EXACT_BASE_BYTES_MIN: u64 = 64 << 10;

/// The life of a state's bases, one after the other.
#[derive(Default)]
pub(super) struct BaseSchedule {
    /// Where a large base goes while it is copied; nothing when all are kept in memory.
    outlet: Option<Arc<dyn BaseOutlet>>,
    /// Since the newest base was begun.
    since: Deltas,
    /// Before it was begun: they count again if it comes to nothing.
    before: Deltas,
    /// After a failure no base is begun before the next barrier.
    waits_for_barrier: bool,
    running: Option<RunningBase>,
    /// All of it is copied.
    copied: Option<CopiedBase>,
}

/// The deltas that were sealed.
#[derive(Clone, Copy, Default)]
struct Deltas {
    /// Their bytes, as they count.
    bytes: u64,
    /// How many they are; an epoch in which nothing was touched has none.
    count: u32,
}

/// What one call has done for a base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BaseProgress {
    /// How many bytes were copied.
    pub(super) bytes: usize,
    /// Whether there is more to copy.
    pub(super) running: bool,
}

/// A base that is being copied.
pub(super) struct RunningBase {
    first_epoch: Epoch,
    /// Where the next slice goes on.
    pub(super) cursor: Cursor,
    /// What is copied so far.
    pub(super) log: RecordLog,
    stream: Option<Box<dyn BaseStream>>,
}

impl RunningBase {
    /// A slice was copied: what is complete of it goes out, if it is to.
    pub(super) fn ship(&mut self) {
        if let Some(stream) = &mut self.stream {
            self.log.take_full().for_each(|chunk| stream.push(chunk));
        }
    }
}

/// A base that waits for a barrier.
enum CopiedBase {
    InMemory(SealedBase),
    Streamed {
        first_epoch: Epoch,
        bytes: u64,
        stream: Box<dyn BaseStream>,
    },
}

impl CopiedBase {
    fn stream(&self) -> Option<&dyn BaseStream> {
        match self {
            Self::InMemory(_) => None,
            Self::Streamed { stream, .. } => Some(&**stream),
        }
    }

    /// Whether a barrier can take it along.
    fn is_ready(&self) -> bool {
        let stream = self.stream();
        stream.is_none_or(|stream| stream.progress() == StreamProgress::Stored)
    }

    fn seal(self) -> SealedBase {
        match self {
            Self::InMemory(base) => base,
            Self::Streamed {
                first_epoch,
                bytes,
                stream,
            } => SealedBase {
                first_epoch,
                content: BaseContent::Streamed {
                    number: stream.hand_over(),
                    bytes,
                },
            },
        }
    }
}

impl BaseSchedule {
    /// No base yet.
    pub(super) fn new(outlet: Option<Arc<dyn BaseOutlet>>) -> Self {
        Self {
            outlet,
            ..Self::default()
        }
    }

    /// The base to copy a slice of, if there is one and there is room for it: begins one when it is due.
    ///
    /// It is due when the deltas since the last one have grown beyond three quarters of the size that a new one would
    /// have, or have become too many: while it is copied, its predecessor and all these deltas are still in the store.
    pub(super) fn running(
        &mut self,
        epoch: Epoch,
        base_bytes: u64,
        log: impl FnOnce() -> RecordLog,
    ) -> Option<&mut RunningBase> {
        self.drop_failed();
        let is_free = self.running.is_none() && self.copied.is_none() && !self.waits_for_barrier;
        if is_free && self.due(base_bytes) {
            let outlet = self.outlet.as_ref();
            match outlet.map_or(BaseWay::Memory, |outlet| outlet.begin(base_bytes)) {
                BaseWay::Memory => self.begin(epoch, log()),
                BaseWay::Stream(stream) => {
                    self.begin(epoch, log());
                    if let Some(running) = &mut self.running {
                        running.stream = Some(stream);
                    }
                }
                BaseWay::Later => return None,
            }
        }
        self.running.as_mut().filter(|base| {
            let stream = base.stream.as_ref();
            stream.is_none_or(|stream| stream.has_room())
        })
    }

    /// The last slice is copied: `footer` is given the bytes and the number of the records.
    pub(super) fn finish(&mut self, footer: impl FnOnce(u64, u64) -> Footer) -> Result<()> {
        let Some(base) = self.running.take() else {
            return Ok(());
        };
        let (first_epoch, mut bytes) = (base.first_epoch, base.log.len());
        let rest = base.log.seal(footer)?;
        self.copied = Some(match base.stream {
            Some(mut stream) if !rest.is_empty() => {
                bytes += FOOTER_BYTES as u64;
                rest.chunks.into_iter().for_each(|chunk| stream.push(chunk));
                stream.end();
                CopiedBase::Streamed {
                    first_epoch,
                    bytes,
                    stream,
                }
            }
            // Without a record there is nothing to stream, and nothing has been.
            _ => CopiedBase::InMemory(SealedBase {
                first_epoch,
                content: BaseContent::Bytes(rest),
            }),
        });
        Ok(())
    }

    /// A barrier: gives the base that goes with it, if one is finished.
    pub(super) fn on_barrier(&mut self) -> Option<SealedBase> {
        self.waits_for_barrier = false;
        self.drop_failed();
        let ready = self.copied.take_if(|base| base.is_ready());
        ready.map(CopiedBase::seal)
    }

    /// A delta of so many bytes was given away, or restored: a long chain is to be followed by a base soon.
    pub(super) fn on_delta(&mut self, bytes: u64) {
        if bytes > 0 {
            self.since.bytes += bytes.max(DELTA_BYTES_COUNTED_MIN);
            self.since.count += 1;
        }
    }

    /// No base is of use before the next barrier: what was restored is being put anew.
    pub(super) fn wait_for_barrier(&mut self) {
        self.waits_for_barrier = true;
    }

    /// Begins a base in memory, due or not, and drops what was copied of another one.
    pub(super) fn begin(&mut self, epoch: Epoch, log: RecordLog) {
        self.before = std::mem::take(&mut self.since);
        self.copied = None;
        self.running = Some(RunningBase {
            first_epoch: epoch,
            cursor: Cursor::default(),
            log,
            stream: None,
        });
    }

    /// A barrier gives all there is, exactly: no base that was begun before is of use any more.
    pub(super) fn superseded(&mut self) {
        *self = Self::new(self.outlet.take());
    }

    /// Whether a state of this size is worth a base of its own at a barrier: a base is an object, while the deltas of all
    /// states of a subtask share one.
    pub(super) fn is_worth_an_object(base_bytes: u64) -> bool {
        base_bytes >= EXACT_BASE_BYTES_MIN
    }

    /// Drops a base that could not be stored: another is due, but not before it is seen whether barriers get through.
    fn drop_failed(&mut self) {
        let running = self.running.as_ref();
        let running = running.and_then(|base| base.stream.as_deref());
        let copied = self.copied.as_ref().and_then(CopiedBase::stream);
        let has_failed = |stream: &dyn BaseStream| stream.progress() == StreamProgress::Failed;
        if running.or(copied).is_some_and(has_failed) {
            (self.running, self.copied) = (None, None);
            self.since.bytes += self.before.bytes;
            self.since.count += self.before.count;
            self.waits_for_barrier = true;
        }
    }

    fn due(&self, base_bytes: u64) -> bool {
        let bytes_max = (base_bytes / 4 * 3).max(DELTA_BYTES_MIN);
        self.since.bytes > bytes_max || self.since.count > DELTAS_MAX
    }

    /// The bytes of the base that is being copied, or waits for a barrier, as far as they are still here.
    pub(super) fn bytes(&self) -> u64 {
        let running = self.running.as_ref();
        let running = running.map_or(0, |base| base.log.held_bytes());
        let copied = match &self.copied {
            Some(CopiedBase::InMemory(base)) => base.content.len(),
            Some(CopiedBase::Streamed { .. }) | None => 0,
        };
        running + copied
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::state::chunk::ChunkPool;
    use crate::state::descriptor::RecordFormat;
    use crate::state::ledger::Owner;
    use crate::state::piece::PieceKind;
    use crate::state::segment::SegmentPool;

    /// How many barriers with deltas of this size it takes until a base of this size is due.
    fn barriers_until_due(delta_bytes: u64, base_bytes: u64) -> u64 {
        let mut schedule = BaseSchedule::default();
        let mut barriers = 0;
        while !schedule.due(base_bytes) {
            schedule.on_delta(delta_bytes);
            barriers += 1;
        }
        barriers
    }

    #[test]
    fn a_base_is_due_when_the_deltas_outgrow_it_or_become_many() {
        let check = |delta_bytes, base_bytes, expected| {
            let found = barriers_until_due(delta_bytes, base_bytes);
            assert_eq!(
                found, expected,
                "deltas of {delta_bytes}, base of {base_bytes}"
            );
        };
        check(1 << 20, 100, 2);
        check(1 << 20, 12 << 20, 10);
        // Small deltas of a small state count for more than they are.
        check(100, 4000, 65);
        // Small deltas of a large state do not make it be copied for each few of them.
        check(100, 1 << 30, 1001);
    }

    #[test]
    fn epochs_without_a_delta_never_bring_a_base_about() {
        let mut schedule = BaseSchedule::default();
        for _ in 0..100_000 {
            schedule.on_delta(0);
        }
        assert!(!schedule.due(100));
    }

    /// An outlet that lets the test say what becomes of a base.
    #[derive(Default)]
    struct Scripted(Arc<Mutex<Option<StreamProgress>>>);

    impl BaseOutlet for Scripted {
        fn begin(&self, _bytes: u64) -> BaseWay {
            *self.0.lock().unwrap() = Some(StreamProgress::UnderWay);
            BaseWay::Stream(Box::new(Self(Arc::clone(&self.0))))
        }
    }

    impl BaseStream for Scripted {
        fn has_room(&self) -> bool {
            true
        }

        fn push(&mut self, _chunk: Bytes) {}

        fn end(&mut self) {}

        fn progress(&self) -> StreamProgress {
            self.0.lock().unwrap().unwrap()
        }

        fn hand_over(self: Box<Self>) -> usize {
            7
        }
    }

    fn log() -> RecordLog {
        let segments = Rc::new(RefCell::new(SegmentPool::anonymous()));
        let chunks = ChunkPool::new(segments, Owner::Chunks);
        RecordLog::new(Rc::new(RefCell::new(chunks)))
    }

    /// A schedule whose first base has just been begun, and what says what becomes of it.
    fn begun() -> (BaseSchedule, Arc<Mutex<Option<StreamProgress>>>) {
        let outlet = Scripted::default();
        let progress = Arc::clone(&outlet.0);
        let mut schedule = BaseSchedule::new(Some(Arc::new(outlet)));
        schedule.on_delta(2 << 20);
        assert!(schedule.running(Epoch(3), 100, log).is_some());
        (schedule, progress)
    }

    fn finish(schedule: &mut BaseSchedule) {
        let running = schedule.running.as_mut().unwrap();
        running.log.append(8).unwrap().fill(1);
        schedule
            .finish(|records_bytes, records| Footer {
                kind: PieceKind::Base,
                format: RecordFormat::Fixed,
                records_bytes,
                records,
                deletions: 0,
                key_bytes: 8,
                value_bytes: 0,
            })
            .unwrap();
    }

    #[test]
    fn a_base_that_goes_out_waits_for_the_barrier_after_it_is_stored() {
        let (mut schedule, progress) = begun();
        finish(&mut schedule);
        assert!(schedule.on_barrier().is_none());
        *progress.lock().unwrap() = Some(StreamProgress::Stored);
        let base = schedule.on_barrier().unwrap();
        assert_eq!(base.first_epoch, Epoch(3));
        let BaseContent::Streamed { number, bytes } = base.content else {
            panic!("it went out");
        };
        assert_eq!((number, bytes), (7, 8 + FOOTER_BYTES as u64));
        assert!(schedule.on_barrier().is_none());
        assert!(
            schedule.running(Epoch(9), 100, log).is_none(),
            "none is due"
        );
    }

    #[test]
    fn after_a_base_that_failed_another_is_due_from_the_next_barrier_on() {
        for is_copied in [true, false] {
            let (mut schedule, progress) = begun();
            if is_copied {
                finish(&mut schedule);
            }
            *progress.lock().unwrap() = Some(StreamProgress::Failed);
            assert!(schedule.running(Epoch(4), 100, log).is_none());
            assert!(schedule.on_barrier().is_none());
            let next = schedule.running(Epoch(5), 100, log).unwrap();
            assert_eq!(next.first_epoch, Epoch(5));
        }
    }
}
