use std::fs;
use std::future::poll_fn;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::queue::QUEUED_BYTES_MAX;
use super::*;
use crate::model::CheckpointId;
use crate::snapshot::test_support::{StoreFixture, block_on, sealed_operator, sealed_state};
use crate::snapshot::{SnapshotWriter, SubtaskSnapshot};
use crate::state::{BaseContent, Epoch, SealedBase, SealedState};

const BASE: &str = "shared/0-sum-0-0000000000000abc-0.base";
const DELTA: &str = "shared/1-sum-0-0000000000000abc-0.delta";

/// One subtask's writer with a way for its bases, whose other end runs only when it is let.
struct Trial {
    fixture: StoreFixture,
    writer: SnapshotWriter,
    outlet: Arc<dyn BaseOutlet>,
    uploads: BoxFuture<'static, ()>,
}

impl Trial {
    fn new() -> Self {
        let fixture = StoreFixture::new();
        let writer = fixture.writer(0, 1);
        let (outlet, uploads) = writer.base_way(10);
        Self {
            fixture,
            writer,
            outlet,
            uploads: uploads.run().boxed(),
        }
    }

    fn begin(&self) -> Box<dyn BaseStream> {
        match self.outlet.begin(10) {
            BaseWay::Stream(stream) => stream,
            BaseWay::Memory | BaseWay::Later => panic!("the way is free"),
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self.outlet.begin(10), BaseWay::Later)
    }

    /// Lets the store's end run until the base has come to its end there.
    async fn settle(&mut self) {
        let uploads = &mut self.uploads;
        let bases = self.writer.streamed_bases();
        poll_fn(|context| {
            assert!(
                uploads.poll_unpin(context).is_pending(),
                "the subtask lives"
            );
            match bases.lock().is_busy {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    }

    async fn write(&mut self, checkpoint: u64, state: SealedState) -> SubtaskSnapshot {
        let operators = [sealed_operator("sum", vec![state])];
        let written = self.writer.write(CheckpointId(checkpoint), &operators);
        written.await.unwrap()
    }
}

/// A state whose base was streamed.
fn streamed(epoch: u64, delta: &str, number: usize) -> SealedState {
    SealedState {
        base: Some(SealedBase {
            first_epoch: Epoch(epoch),
            content: BaseContent::Streamed { number, bytes: 9 },
        }),
        ..sealed_state("a", epoch, delta, None)
    }
}

fn objects(snapshot: &SubtaskSnapshot) -> Vec<String> {
    let objects = snapshot.objects();
    objects.iter().map(ObjectName::to_string).collect()
}

#[test]
fn a_streamed_base_is_durable_before_its_barrier_and_counts_with_it() {
    let mut trial = Trial::new();
    let mut stream = trial.begin();
    block_on(async {
        for chunk in ["a ", "base ", "ab"] {
            assert!(stream.has_room());
            stream.push(Bytes::from(chunk));
        }
        assert_eq!(stream.progress(), StreamProgress::UnderWay);
        stream.end();
        trial.settle().await;
        assert_eq!(stream.progress(), StreamProgress::Stored);
        assert_eq!(
            fs::read(trial.fixture.path(BASE)).unwrap(),
            b"a base ab".as_slice()
        );
        let number = stream.hand_over();
        let snapshot = trial.write(1, streamed(1, "delta", number)).await;
        assert_eq!(objects(&snapshot), [BASE, DELTA]);
        assert_eq!(snapshot.uploaded_bytes, 9 + 5);
        let keyed = &snapshot.operators[0].1.keyed[0];
        let base = keyed.parts[0].base.as_ref().unwrap();
        assert_eq!((base.offset, base.length), (0, 9));
        assert_eq!(
            base.checksum,
            crate::storage::Checksum::of(b"a base ab".as_slice())
        );
        // It is counted once.
        let snapshot = trial.write(2, sealed_state("a", 2, "", None)).await;
        assert_eq!(snapshot.uploaded_bytes, 0);
        assert_eq!(objects(&snapshot), [BASE, DELTA]);
    });
}

#[test]
fn small_bases_stay_in_memory_and_large_ones_go_one_at_a_time() {
    let mut trial = Trial::new();
    assert!(matches!(trial.outlet.begin(9), BaseWay::Memory));
    let mut first = trial.begin();
    assert!(trial.is_busy());
    first.push(Bytes::from("all of it"));
    first.end();
    assert!(trial.is_busy(), "it is still on its way");
    block_on(trial.settle());
    let second = trial.begin();
    assert!(trial.is_busy());
    drop((first, second));
}

#[test]
fn a_base_that_is_given_up_on_its_way_leaves_nothing() {
    let mut trial = Trial::new();
    let mut stream = trial.begin();
    stream.push(Bytes::from("half of"));
    drop(stream);
    block_on(trial.settle());
    assert!(trial.fixture.files().is_empty());
    assert!(!trial.is_busy());
}

#[test]
fn a_base_that_is_given_up_when_it_is_stored_is_accounted_for() {
    let mut trial = Trial::new();
    let mut stream = trial.begin();
    stream.push(Bytes::from("all of it"));
    stream.end();
    block_on(async {
        trial.settle().await;
        drop(stream);
        let snapshot = trial.write(1, sealed_state("a", 1, "delta", None)).await;
        // No manifest will name it, so it goes with the next completed checkpoint.
        assert_eq!(objects(&snapshot), [BASE, DELTA]);
        assert_eq!(snapshot.uploaded_bytes, 5);
        let snapshot = trial.write(2, sealed_state("a", 2, "", None)).await;
        assert_eq!(objects(&snapshot), [DELTA]);
    });
}

#[test]
fn what_no_snapshot_has_heard_of_goes_with_the_subtask() {
    let mut trial = Trial::new();
    let mut stream = trial.begin();
    stream.push(Bytes::from("all of it"));
    stream.end();
    block_on(trial.settle());
    assert_eq!(trial.fixture.files(), [BASE]);
    drop(stream);
    let Trial {
        fixture,
        outlet,
        uploads,
        ..
    } = trial;
    drop(outlet);
    block_on(uploads);
    assert!(fixture.files().is_empty());
}

/// A folder lies where the base's object is to go.
#[test]
fn a_base_that_cannot_be_stored_says_so_and_the_next_one_is_stored() {
    let mut trial = Trial::new();
    fs::create_dir(trial.fixture.path(BASE)).unwrap();
    block_on(async {
        let mut stream = trial.begin();
        stream.push(Bytes::from("all of it"));
        stream.end();
        trial.settle().await;
        assert_eq!(stream.progress(), StreamProgress::Failed);
        drop(stream);
        fs::remove_dir_all(trial.fixture.path(BASE)).ok();
        let mut stream = trial.begin();
        stream.push(Bytes::from("all of it"));
        stream.end();
        trial.settle().await;
        assert_eq!(stream.progress(), StreamProgress::Stored);
        let number = stream.hand_over();
        let snapshot = trial.write(1, streamed(1, "delta", number)).await;
        let second = BASE.replace("-0.base", "-1.base");
        assert!(objects(&snapshot).contains(&second), "{snapshot:?}");
    });
}

#[test]
fn copying_is_told_when_the_store_does_not_keep_up_and_what_comes_all_the_same_is_taken() {
    let mut trial = Trial::new();
    let mut stream = trial.begin();
    let chunk = Bytes::from(vec![7; 1 << 20]);
    let mut pushed = 0;
    while stream.has_room() {
        stream.push(chunk.clone());
        pushed += chunk.len() as u64;
    }
    assert_eq!(pushed, QUEUED_BYTES_MAX);
    // One slice can hold far more than there is room for: records may be of any size.
    for _ in 0..100 {
        stream.push(chunk.clone());
        pushed += chunk.len() as u64;
    }
    stream.end();
    block_on(trial.settle());
    assert_eq!(stream.progress(), StreamProgress::Stored);
    assert!(stream.has_room());
    let stored = fs::metadata(trial.fixture.path(BASE)).unwrap();
    assert_eq!(stored.len(), pushed);
}

#[test]
fn what_is_given_up_is_not_stored_to_its_end() {
    let mut trial = Trial::new();
    let mut stream = trial.begin();
    stream.push(Bytes::from("all of it"));
    stream.end();
    drop(stream);
    block_on(trial.settle());
    assert!(trial.fixture.files().is_empty());
}

#[test]
fn a_base_that_nobody_has_stored_is_a_bug_and_no_hole() {
    let mut trial = Trial::new();
    let operators = [sealed_operator("sum", vec![streamed(1, "delta", 7)])];
    let written = block_on(trial.writer.write(CheckpointId(1), &operators));
    assert!(written.unwrap_err().to_string().contains("base 7"));
}
