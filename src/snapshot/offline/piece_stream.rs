//! Reads the pieces of a snapshot chunk by chunk.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::snapshot::damage::Damage;
use crate::snapshot::manifest::Piece;
use crate::snapshot::objects::SnapshotObjects;
use crate::state::rows::{PieceCounts, PieceReader, StateCodec, StoredRecord};
use crate::storage::{ChecksumBuilder, StorageError};

/// How many bytes are read at a time.
const CHUNK_BYTES: u64 = 4 << 20;

impl SnapshotObjects {
    /// Shows `take` all bytes of a piece in order, and tells `progress` how many there were as they come.
    ///
    /// # Errors
    /// Why they cannot be read; that their checksum is another one, said when all have been shown; what `take` says is
    /// wrong with them, if the checksum is right.
    pub(super) async fn stream(
        &self,
        piece: &Piece,
        progress: &mut dyn FnMut(u64),
        mut take: impl FnMut(u64, &Bytes) -> Result<()>,
    ) -> Result<(), Damage> {
        let mut checksum = ChecksumBuilder::default();
        let mut outcome = Ok(());
        let mut position = 0;
        while position < piece.length {
            let length = CHUNK_BYTES.min(piece.length - position);
            let chunk = self.read_section(piece, position, length).await?;
            checksum.update(&chunk);
            if outcome.is_ok() {
                outcome = take(position, &chunk);
            }
            position += length;
            progress(length);
        }
        let found = checksum.finish();
        if found != piece.checksum {
            return Err(Damage::ObjectChecksum {
                object: piece.object.clone(),
                offset: piece.offset,
                expected: piece.checksum,
                found,
            });
        }
        outcome.map_err(|error| malformed(piece, &error))
    }

    /// Shows `apply` the records of a base or a delta in order.
    ///
    /// # Errors
    /// As for [`SnapshotObjects::stream`]. Then some records may have been shown that mean nothing.
    pub(super) async fn stream_records(
        &self,
        piece: &Piece,
        codec: &StateCodec,
        is_base: bool,
        progress: &mut dyn FnMut(u64),
        mut apply: impl FnMut(StoredRecord<'_>) -> Result<()>,
    ) -> Result<PieceCounts, Damage> {
        let mut reader = self.open_records(piece, codec, is_base).await;
        let body_bytes = piece.length.saturating_sub(PieceReader::FOOTER_BYTES);
        let streamed = self.stream(piece, progress, |position, chunk| {
            let body = body_bytes.saturating_sub(position).min(chunk.len() as u64);
            match &mut reader {
                Ok(reader) => reader.feed(&chunk[..body as usize], &mut apply),
                // It is said below, unless the bytes have changed: then that says more.
                Err(_) => Ok(()),
            }
        });
        streamed.await?;
        let counts = reader?.finish();
        counts.map_err(|error| malformed(piece, &error))
    }

    /// What the footer of a base or a delta says. The rest of it is not looked at.
    ///
    /// # Errors
    /// Why it cannot be read, or that it is no footer of such a piece.
    pub(super) async fn open_records(
        &self,
        piece: &Piece,
        codec: &StateCodec,
        is_base: bool,
    ) -> Result<PieceReader, Damage> {
        let footer_bytes = PieceReader::FOOTER_BYTES.min(piece.length);
        let start = piece.length - footer_bytes;
        let footer = self.read_section(piece, start, footer_bytes).await?;
        PieceReader::new(codec, is_base, piece.length, &footer)
            .map_err(|error| malformed(piece, &error))
    }

    /// Reads `length` bytes of a piece from its byte `start` on.
    async fn read_section(&self, piece: &Piece, start: u64, length: u64) -> Result<Bytes, Damage> {
        let path = self.paths.object(&piece.object);
        let offset = piece.offset.saturating_add(start);
        let read = self.blobs.read_range(&path, offset, length).await;
        match read {
            Ok(bytes) => Ok(bytes),
            Err(StorageError::NotFound { .. }) => Err(Damage::MissingObject {
                object: piece.object.clone(),
            }),
            Err(error) => Err(self
                .truncated(piece)
                .await
                .unwrap_or_else(|| Damage::Unreadable {
                    reason: Error::from(error).full_message(),
                })),
        }
    }

    /// That an object is shorter than a piece needs it, if it is.
    async fn truncated(&self, piece: &Piece) -> Option<Damage> {
        let path = self.paths.object(&piece.object);
        let length = self.blobs.length(&path).await.ok()?;
        let expected = piece.offset.saturating_add(piece.length);
        (length < expected).then(|| Damage::TruncatedObject {
            object: piece.object.clone(),
            length,
            expected,
        })
    }
}

/// The damage of a piece whose bytes are those that were written, and are wrong all the same.
pub(super) fn malformed(piece: &Piece, error: &Error) -> Damage {
    Damage::MalformedPiece {
        object: piece.object.clone(),
        offset: piece.offset,
        reason: error.full_message(),
    }
}
