//! A simulated bucket as a service of OpenDAL.

use std::fmt;

use opendal::raw::{
    OpCopy, OpCreateDir, OpDelete, OpList, OpPresign, OpRead, OpRename, OpStat, OpWrite,
    RpCreateDir, RpPresign, RpRename, RpStat, Service, ServiceInfo, oio,
};
use opendal::{
    Buffer, Builder, Capability, Error, ErrorKind, Metadata, MetadataBuilder, OperationContext,
    Result,
};

use super::{Change, SimulatedBucket};

/// The service, which is also its own builder.
#[derive(Clone)]
pub(super) struct BucketService {
    bucket: SimulatedBucket,
}

pub(super) struct ObjectReader {
    bucket: SimulatedBucket,
    path: String,
}

/// Writes its object when it is closed.
pub(super) struct ObjectWriter {
    bucket: SimulatedBucket,
    path: String,
    if_not_exists: bool,
    content: Vec<u8>,
}

pub(super) struct Lister {
    bucket: SimulatedBucket,
    path: String,
    /// What is left to list, the last entry first; nothing before the first is asked for.
    entries: Option<Vec<String>>,
}

pub(super) struct Remover {
    bucket: SimulatedBucket,
}

impl BucketService {
    pub(super) fn on(bucket: SimulatedBucket) -> Self {
        Self { bucket }
    }
}

/// OpenDAL asks for it of each builder.
impl Default for BucketService {
    fn default() -> Self {
        Self::on(SimulatedBucket::new(0, 0))
    }
}

impl fmt::Debug for BucketService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BucketService")
    }
}

impl Builder for BucketService {
    type Config = ();

    fn build(self) -> Result<impl Service> {
        Ok(self)
    }
}

impl Service for BucketService {
    type Reader = oio::PositionReader<ObjectReader>;
    type Writer = ObjectWriter;
    type Lister = Lister;
    type Deleter = oio::OneShotDeleter<Remover>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        ServiceInfo::new("simulated", "/", "bucket")
    }

    fn capability(&self) -> Capability {
        Capability {
            stat: true,
            read: true,
            write: true,
            write_can_empty: true,
            write_can_multi: true,
            write_with_if_not_exists: true,
            delete: true,
            list: true,
            ..Capability::default()
        }
    }

    async fn create_dir(
        &self,
        _: &OperationContext,
        _: &str,
        _: OpCreateDir,
    ) -> Result<RpCreateDir> {
        Err(unsupported())
    }

    async fn stat(&self, _: &OperationContext, path: &str, _: OpStat) -> Result<RpStat> {
        let found = self
            .bucket
            .look(|contents| contents.objects.get(path).map(bytes::Bytes::len));
        match found.await? {
            Some(length) => Ok(RpStat::new(MetadataBuilder::file(length as u64).build())),
            None => Err(not_found()),
        }
    }

    fn read(&self, _: &OperationContext, path: &str, _: OpRead) -> Result<Self::Reader> {
        Ok(oio::PositionReader::new(ObjectReader {
            bucket: self.bucket.clone(),
            path: path.to_owned(),
        }))
    }

    fn write(&self, _: &OperationContext, path: &str, args: OpWrite) -> Result<Self::Writer> {
        Ok(ObjectWriter {
            bucket: self.bucket.clone(),
            path: path.to_owned(),
            if_not_exists: args.if_not_exists(),
            content: Vec::new(),
        })
    }

    fn delete(&self, _: &OperationContext) -> Result<Self::Deleter> {
        let bucket = self.bucket.clone();
        Ok(oio::OneShotDeleter::new(Remover { bucket }))
    }

    fn list(&self, _: &OperationContext, path: &str, _: OpList) -> Result<Self::Lister> {
        Ok(Lister {
            bucket: self.bucket.clone(),
            path: path.trim_start_matches('/').to_owned(),
            entries: None,
        })
    }

    fn copy(&self, _: &OperationContext, _: &str, _: &str, _: OpCopy) -> Result<Self::Copier> {
        Err(unsupported())
    }

    async fn rename(
        &self,
        _: &OperationContext,
        _: &str,
        _: &str,
        _: OpRename,
    ) -> Result<RpRename> {
        Err(unsupported())
    }

    async fn presign(&self, _: &OperationContext, _: &str, _: OpPresign) -> Result<RpPresign> {
        Err(unsupported())
    }
}

impl oio::PositionRead for ObjectReader {
    type Handle = bytes::Bytes;

    async fn open(&self) -> Result<Self::Handle> {
        let found = self
            .bucket
            .look(|contents| contents.objects.get(&self.path).cloned());
        found.await?.ok_or_else(not_found)
    }

    async fn read_at(handle: &Self::Handle, offset: u64, size: usize) -> Result<Buffer> {
        let start = (offset as usize).min(handle.len());
        let end = start.saturating_add(size).min(handle.len());
        Ok(Buffer::from(handle.slice(start..end)))
    }
}

impl oio::Write for ObjectWriter {
    async fn write(&mut self, bytes: Buffer) -> Result<()> {
        self.content.extend(bytes.to_vec());
        Ok(())
    }

    async fn close(&mut self) -> Result<Metadata> {
        let (path, content) = (self.path.clone(), self.content.clone().into());
        let change = match self.if_not_exists {
            true => Change::Create(path, content),
            false => Change::Write(path, content),
        };
        self.bucket.change(change).await?;
        Ok(MetadataBuilder::file(self.content.len() as u64).build())
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

impl oio::List for Lister {
    async fn next(&mut self) -> Result<Option<oio::Entry>> {
        if self.entries.is_none() {
            let mut names = self.bucket.list(&self.path).await?;
            names.reverse();
            self.entries = Some(names);
        }
        let name = self.entries.as_mut().and_then(Vec::pop);
        Ok(name.map(|name| {
            let metadata = match name.ends_with('/') {
                true => MetadataBuilder::dir(),
                false => MetadataBuilder::unknown(),
            };
            oio::Entry::new(&format!("{}{name}", self.path), metadata.build())
        }))
    }
}

impl oio::OneShotDelete for Remover {
    async fn delete_once(&self, path: String, _: OpDelete) -> Result<()> {
        self.bucket.change(Change::Delete(path)).await
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such object")
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the storage module does not use it")
}
