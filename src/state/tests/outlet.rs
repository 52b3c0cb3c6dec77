//! An outlet for bases whose pace and failures are drawn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use fastrand::Rng;

use crate::state::{
    BaseContent, BaseOutlet, BaseStream, BaseWay, SealedBytes, SealedState, StreamProgress,
};

/// It keeps what it was given. Clones are the same one.
#[derive(Clone)]
pub(super) struct TestOutlet(Arc<Mutex<Inner>>);

struct Inner {
    random: Rng,
    bases: BTreeMap<usize, Base>,
    begun: usize,
    is_busy: bool,
    /// How many came through, and how many failed.
    outcomes: [usize; 2],
}

struct Base {
    bytes: Vec<u8>,
    has_ended: bool,
    progress: StreamProgress,
}

struct TestStream {
    number: usize,
    outlet: TestOutlet,
    is_handed_over: bool,
}

impl TestOutlet {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            random: Rng::with_seed(seed),
            bases: BTreeMap::new(),
            begun: 0,
            is_busy: false,
            outcomes: [0; 2],
        })))
    }

    /// Puts the bytes of a base that came this way back into what a barrier gave.
    pub(super) fn resolve(&self, sealed: &mut SealedState) {
        let Some(base) = &mut sealed.base else {
            return;
        };
        if let BaseContent::Streamed { number, bytes } = base.content {
            let taken = self.lock().bases.remove(&number).unwrap();
            assert_eq!(taken.progress, StreamProgress::Stored);
            assert_eq!(taken.bytes.len() as u64, bytes);
            base.content = BaseContent::Bytes(SealedBytes {
                chunks: vec![taken.bytes.into()],
            });
        }
    }

    /// How many bases came through, and how many failed.
    pub(super) fn outcomes(&self) -> [usize; 2] {
        self.lock().outcomes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl BaseOutlet for TestOutlet {
    fn begin(&self, _bytes: u64) -> BaseWay {
        let mut inner = self.lock();
        if inner.is_busy || inner.random.u8(..8) == 0 {
            return BaseWay::Later;
        }
        if inner.random.u8(..4) == 0 {
            return BaseWay::Memory;
        }
        let number = inner.begun;
        let base = Base {
            bytes: Vec::new(),
            has_ended: false,
            progress: StreamProgress::UnderWay,
        };
        inner.bases.insert(number, base);
        inner.begun += 1;
        inner.is_busy = true;
        BaseWay::Stream(Box::new(TestStream {
            number,
            outlet: self.clone(),
            is_handed_over: false,
        }))
    }
}

impl BaseStream for TestStream {
    fn has_room(&self) -> bool {
        self.outlet.lock().random.u8(..4) != 0
    }

    fn push(&mut self, chunk: Bytes) {
        let mut inner = self.outlet.lock();
        let base = inner.bases.get_mut(&self.number).unwrap();
        assert!(!base.has_ended && !chunk.is_empty());
        base.bytes.extend_from_slice(&chunk);
    }

    fn end(&mut self) {
        let mut inner = self.outlet.lock();
        inner.bases.get_mut(&self.number).unwrap().has_ended = true;
    }

    fn progress(&self) -> StreamProgress {
        let mut inner = self.outlet.lock();
        let (has_failed, is_stored) = (inner.random.u8(..60) == 0, inner.random.u8(..3) == 0);
        let base = inner.bases.get_mut(&self.number).unwrap();
        if base.progress == StreamProgress::UnderWay {
            if has_failed {
                base.progress = StreamProgress::Failed;
            } else if base.has_ended && is_stored {
                base.progress = StreamProgress::Stored;
            }
            let outcome = base.progress;
            match outcome {
                StreamProgress::UnderWay => return outcome,
                StreamProgress::Stored => inner.outcomes[0] += 1,
                StreamProgress::Failed => inner.outcomes[1] += 1,
            }
            inner.is_busy = false;
            return outcome;
        }
        base.progress
    }

    fn hand_over(mut self: Box<Self>) -> usize {
        self.is_handed_over = true;
        self.number
    }
}

impl Drop for TestStream {
    fn drop(&mut self) {
        let mut inner = self.outlet.lock();
        if !self.is_handed_over
            && let Some(base) = inner.bases.remove(&self.number)
            && base.progress == StreamProgress::UnderWay
        {
            inner.is_busy = false;
        }
    }
}
