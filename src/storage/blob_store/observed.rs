//! A store that says what it is about to do, so that a test can let the process die there.

use std::fmt;
use std::sync::Arc;

use opendal::raw::{
    Layer, OpCompose, OpCopy, OpCreateDir, OpList, OpPresign, OpRead, OpRename, OpRestore, OpStat,
    OpWrite, RpCreateDir, RpPresign, RpRename, RpRestore, RpStat, Service, ServiceInfo, Servicer,
    oio,
};
use opendal::{Capability, OperationContext, Result};

use super::BlobStore;

/// Is told of a step before it is done: `create PATH` or `rename PATH to PATH`.
type StepObserver = Arc<dyn Fn(&str) + Send + Sync>;

impl BlobStore {
    /// The same store, which tells `observer` of each step that adds something to it.
    pub(crate) fn observed(self, observer: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let layer = ObserverLayer(Arc::new(observer));
        Self {
            operator: self.operator.layer(layer.clone()),
            writing: self.writing.layer(layer),
            ..self
        }
    }
}

#[derive(Clone)]
struct ObserverLayer(StepObserver);

/// Passes everything on.
struct ObservedService {
    inner: Servicer,
    observer: StepObserver,
}

impl Layer for ObserverLayer {
    fn apply_service(&self, inner: Servicer) -> Servicer {
        Arc::new(ObservedService {
            inner,
            observer: Arc::clone(&self.0),
        })
    }
}

impl fmt::Debug for ObserverLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ObserverLayer")
    }
}

impl fmt::Debug for ObservedService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ObservedService")
    }
}

impl Service for ObservedService {
    type Reader = oio::Reader;
    type Writer = oio::Writer;
    type Lister = oio::Lister;
    type Deleter = oio::Deleter;
    type Copier = oio::Copier;
    type Composer = oio::Composer;

    fn info(&self) -> ServiceInfo {
        self.inner.info()
    }

    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn create_dir(
        &self,
        context: &OperationContext,
        path: &str,
        args: OpCreateDir,
    ) -> Result<RpCreateDir> {
        self.inner.create_dir(context, path, args).await
    }

    async fn stat(&self, context: &OperationContext, path: &str, args: OpStat) -> Result<RpStat> {
        self.inner.stat(context, path, args).await
    }

    fn read(&self, context: &OperationContext, path: &str, args: OpRead) -> Result<oio::Reader> {
        self.inner.read(context, path, args)
    }

    fn write(&self, context: &OperationContext, path: &str, args: OpWrite) -> Result<oio::Writer> {
        (self.observer)(&format!("create {path}"));
        self.inner.write(context, path, args)
    }

    fn delete(&self, context: &OperationContext) -> Result<oio::Deleter> {
        self.inner.delete(context)
    }

    fn list(&self, context: &OperationContext, path: &str, args: OpList) -> Result<oio::Lister> {
        self.inner.list(context, path, args)
    }

    fn copy(
        &self,
        context: &OperationContext,
        from: &str,
        to: &str,
        args: OpCopy,
    ) -> Result<oio::Copier> {
        self.inner.copy(context, from, to, args)
    }

    fn compose(
        &self,
        context: &OperationContext,
        to: &str,
        args: OpCompose,
    ) -> Result<oio::Composer> {
        self.inner.compose(context, to, args)
    }

    async fn rename(
        &self,
        context: &OperationContext,
        from: &str,
        to: &str,
        args: OpRename,
    ) -> Result<RpRename> {
        (self.observer)(&format!("rename {from} to {to}"));
        self.inner.rename(context, from, to, args).await
    }

    async fn restore(
        &self,
        context: &OperationContext,
        path: &str,
        args: OpRestore,
    ) -> Result<RpRestore> {
        self.inner.restore(context, path, args).await
    }

    async fn presign(
        &self,
        context: &OperationContext,
        path: &str,
        args: OpPresign,
    ) -> Result<RpPresign> {
        self.inner.presign(context, path, args).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::model::CheckpointId;
    use crate::storage::{StoragePaths, StoreLocation};

    #[test]
    fn each_step_is_told_of_before_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::parse("store", folder.path()).unwrap();
        let paths = StoragePaths::new("job").unwrap();
        let pending = paths.pending_manifest(CheckpointId(1), 0);
        let manifest = paths.manifest(CheckpointId(1));
        let steps = Arc::new(Mutex::new(Vec::new()));
        let (told, root) = (Arc::clone(&steps), folder.path().join("store"));
        let observer = move |step: &str| {
            let path = step.rsplit(' ').next().unwrap();
            let is_done = Path::new(&root).join(path).exists();
            told.lock().unwrap().push((step.to_owned(), is_done));
        };
        let store = BlobStore::open(&location).unwrap();
        let store = store.observed(observer);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let content = vec![Bytes::from_static(b"content")];
            store.put(&pending, &[content]).await.unwrap();
            store.name_if_absent(&manifest, &pending).await.unwrap();
            assert_eq!(store.read(&manifest).await.unwrap(), "content");
        });
        let expected = [
            (format!("create {pending}"), false),
            (format!("rename {pending} to {manifest}"), false),
        ];
        assert_eq!(*steps.lock().unwrap(), expected);
    }
}
