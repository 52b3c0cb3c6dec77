//! The bare mechanism: a client of the store that puts objects.

use futures_util::stream::{self, StreamExt};
use opendal::services::S3;
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;

use crate::state::State;

const OBJECT_BYTES: usize = 8 << 20;

/// A place in the bucket for what means nothing.
pub(crate) struct BareBucket(Operator);

impl BareBucket {
    pub(crate) fn new(endpoint: &str, bucket: &str) -> Self {
        let service = S3::default()
            .endpoint(endpoint)
            .bucket(bucket)
            .region("us-east-1")
            .root("/bench-puts");
        let transport = HttpTransporter::new(ReqwestTransport::default());
        let context = OperationContext::new().with_http_transport(transport);
        Self(Operator::new(service).unwrap().with_context(context))
    }

    /// Puts all of it, so many objects at once.
    pub(crate) async fn put_all(&self, state: &State, at_once: usize) {
        let pieces = state.pieces(OBJECT_BYTES).into_iter().enumerate();
        let puts = pieces.map(|(number, piece)| {
            let operator = self.0.clone();
            // In tasks of their own, so that they keep all threads busy.
            tokio::spawn(async move { operator.write(&number.to_string(), piece).await })
        });
        stream::iter(puts)
            .buffer_unordered(at_once)
            .for_each(|put| async { drop(put.unwrap().unwrap()) })
            .await;
    }

    pub(crate) async fn clear(&self) {
        let all = self.0.delete_with("/").recursive(true);
        all.await.unwrap();
    }
}
