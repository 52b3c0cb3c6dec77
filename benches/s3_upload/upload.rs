//! The product's own way to the bucket.

use std::path::Path;
use std::time::Duration;

use floodmark::config::S3Section;
use floodmark::model::{CheckpointId, KeyGroupRange, SubtaskId};
use floodmark::snapshot::{CheckpointStore, SealedOperator, SnapshotWriter};
use floodmark::state::{
    BaseContent, BaseWay, Epoch, RecordFormat, SealedBase, SealedBytes, SealedState,
    StateDescriptor, StateKind, StreamProgress,
};
use floodmark::storage::StoreLocation;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::state::State;

const OPERATOR: &str = "sums";

/// How often a subtask looks whether it can go on: about as often as it works off a batch.
const LOOK: Duration = Duration::from_millis(1);

/// A job whose checkpoints lie in the bucket.
pub(crate) struct Uploader {
    store: CheckpointStore,
}

impl Uploader {
    pub(crate) fn new(endpoint: &str, bucket: &str) -> Self {
        let section = S3Section {
            endpoint: Some(endpoint.to_owned()),
            ..S3Section::default()
        };
        let location = StoreLocation::parse(&format!("s3://{bucket}/bench"), Path::new("/"));
        let location = location.unwrap().with_s3(&section);
        Self {
            store: CheckpointStore::open(&location, "upload").unwrap(),
        }
    }

    fn writers(&self, state: &State) -> impl Iterator<Item = SnapshotWriter> {
        let parallelism = state.parallelism;
        (0..parallelism).map(move |index| {
            let subtask = SubtaskId::new(OPERATOR.into(), index);
            let key_groups = KeyGroupRange::of_subtask(index, parallelism, 128);
            let nonce = fastrand::u64(..);
            SnapshotWriter::new(self.store.clone(), subtask, key_groups, nonce)
        })
    }

    /// Uploads all of it as the part of one checkpoint.
    pub(crate) async fn checkpoint(&self, state: &State) {
        let subtasks = self.writers(state).map(|mut writer| {
            let operators = [sealed(state)];
            // Each subtask has a task of its own in a job, too.
            tokio::spawn(async move {
                let written = writer.write(CheckpointId(1), &operators).await;
                written.unwrap().uploaded_bytes
            })
        });
        let uploaded = join_all(subtasks.collect::<Vec<_>>()).await;
        let uploaded: u64 = uploaded.into_iter().map(Result::unwrap).sum();
        assert_eq!(uploaded, state.bytes());
    }

    /// Uploads all of it in the way of bases that are still being copied.
    pub(crate) async fn stream(&self, state: &State) {
        let subtasks = self.writers(state).map(|writer| {
            let chunks: Vec<_> = state.subtask().collect();
            let bytes = state.bytes() / state.parallelism as u64;
            let (outlet, uploads) = writer.base_way(0);
            tokio::spawn(uploads.run());
            async move {
                let BaseWay::Stream(mut stream) = outlet.begin(bytes) else {
                    return false;
                };
                for chunk in chunks {
                    while !stream.has_room() {
                        sleep(LOOK).await;
                    }
                    stream.push(chunk);
                }
                stream.end();
                while stream.progress() == StreamProgress::UnderWay {
                    sleep(LOOK).await;
                }
                stream.progress() == StreamProgress::Stored
            }
        });
        let stored = join_all(subtasks.collect::<Vec<_>>()).await;
        assert!(stored.into_iter().all(|stored| stored));
    }

    /// Deletes what was uploaded.
    pub(crate) async fn clear(&self) {
        self.store.sweep_orphans(None).await;
    }
}

fn sealed(state: &State) -> SealedOperator {
    let descriptor = StateDescriptor {
        kind: StateKind::Value,
        version: 1,
        key_schema: "u64".to_owned(),
        map_key_schema: None,
        value_schema: "i64".to_owned(),
        time_to_live: false,
        record_format: RecordFormat::Fixed,
    };
    let chunks = state.subtask().collect();
    let state = SealedState {
        name: "total".into(),
        descriptor,
        epoch: Epoch(1),
        delta: SealedBytes::default(),
        base: Some(SealedBase {
            first_epoch: Epoch(1),
            content: BaseContent::Bytes(SealedBytes { chunks }),
        }),
    };
    SealedOperator {
        operator: OPERATOR.into(),
        finished: false,
        items: Vec::new(),
        operator_state: Vec::new(),
        in_flight: Vec::new(),
        local: None,
        states: vec![state],
    }
}
