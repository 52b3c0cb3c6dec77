//! The fixed layout: key and value lie in the table's slot.

use std::marker::PhantomData;
use std::mem;

use rkyv::Archived;
use rkyv::seal::Seal;

use super::epochs::Epochs;
use super::{Ownership, SealedParts, StoreSetup};
use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::base::BaseProgress;
use crate::state::descriptor::RecordFormat;
use crate::state::ledger::Owner;
use crate::state::piece::{FixedPiece, FixedShape, Footer, PieceKind};
use crate::state::sealed::Epoch;
use crate::state::table::{Cursor, Home, Slot, Table};
use crate::state::undo::UndoKind;

/// So many keys of a batch are looked up at once: enough to keep all of a core's line-fill buffers busy, few enough to
/// stay in its first-level cache.
pub(super) const STAGE_KEYS: usize = 32;

/// A state whose keys and values each have one size, and whose archived bytes are those of the types themselves.
pub(in crate::state) struct FixedStore<R: RecordKey, V: StateValue> {
    ownership: Ownership,
    pub(super) table: Table<R::Fixed, Archived<V>>,
    pub(super) epochs: Epochs,
    /// Kept between batches for its memory.
    staged: Vec<Wanted<R, V>>,
}

/// A key of a batch on its way through the table.
pub(super) struct Wanted<R: RecordKey, V: StateValue> {
    key: R::Fixed,
    pub(super) hash: u64,
    pub(super) group: KeyGroup,
    home: Option<FixedHome<R, V>>,
    _types: PhantomData<(R, V)>,
}

pub(super) type FixedHome<R, V> = Home<<R as RecordKey>::Fixed, Archived<V>>;
pub(super) type FixedSlot<R, V> = Slot<<R as RecordKey>::Fixed, Archived<V>>;

impl<R: RecordKey, V: StateValue> FixedStore<R, V> {
    pub(super) const SHAPE: FixedShape = FixedShape {
        key_bytes: size_of::<R::Fixed>(),
        value_bytes: size_of::<Archived<V>>(),
    };

    /// An empty store.
    pub(in crate::state) fn new(setup: StoreSetup) -> Self {
        let StoreSetup {
            ownership,
            segments,
            log,
            number,
            incremental,
            undo,
            outlet,
        } = setup;
        Self {
            ownership,
            table: Table::new(
                segments,
                Owner::Table(number),
                ownership.key_groups,
                incremental,
                undo.is_some(),
            ),
            epochs: Epochs::new(log, undo, incremental, true, outlet),
            staged: Vec::with_capacity(STAGE_KEYS),
        }
    }

    pub(super) fn restore_record(
        &mut self,
        wanted: &Wanted<R, V>,
        value: &Archived<V>,
    ) -> Result<()> {
        match self.find(wanted) {
            Some((_, slot)) => self.table.overwrite(slot, value),
            None => self.insert_restored(wanted, value)?,
        }
        Ok(())
    }

    /// Inserts a record that is not there, and that no checkpoint needs.
    fn insert_restored(&mut self, wanted: &Wanted<R, V>, value: &Archived<V>) -> Result<()> {
        let record = (&wanted.key, value);
        self.table
            .insert_untouched(wanted.group, wanted.hash, record, |key| {
                R::fixed_hashes(key).record
            })?;
        Ok(())
    }

    /// Where a stored key belongs, if its key group is among `key_groups` and an own one.
    fn wanted_own(&self, key: &[u8], key_groups: KeyGroupRange) -> Result<Option<Wanted<R, V>>> {
        let key = R::checked_fixed(key)?;
        let hashes = R::fixed_hashes(&key);
        let group = self.ownership.group(hashes.group);
        let is_own = self.ownership.takes(group, key_groups);
        Ok(is_own.then(|| Self::wanted(key, group, hashes.record)))
    }

    pub(super) fn with<T>(
        &self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        let wanted = self.locate(R::to_fixed(key))?;
        let found = self.find(&wanted);
        Ok(read(found.map(|(_, slot)| self.table.record(slot).1)))
    }

    pub(super) fn put(&mut self, key: R::Native<'_>, value: &V) -> Result<()> {
        let wanted = self.locate(R::to_fixed(key))?;
        let value = archive::to_fixed(value);
        match self.find(&wanted) {
            Some((home, slot)) => {
                self.touch(home, slot)?;
                *self.table.record_mut(slot).1 = value;
                self.log(slot)
            }
            None => {
                let slot = self.insert(&wanted, &value)?;
                self.log(slot)
            }
        }
    }

    pub(super) fn remove(&mut self, key: R::Native<'_>) -> Result<bool> {
        let wanted = self.locate(R::to_fixed(key))?;
        let Some((home, slot)) = self.find(&wanted) else {
            return Ok(false);
        };
        self.touch(home, slot)?;
        if let Some(record) = self.epochs.append_deletion(Self::SHAPE.stride())? {
            let (key, value) = self.table.record(slot);
            Self::write(record, key, value);
        }
        self.table.remove(home, slot);
        Ok(true)
    }

    pub(super) fn update_batch<'k>(
        &mut self,
        mut keys: impl Iterator<Item = R::Native<'k>>,
        mut initial: impl FnMut(usize) -> V,
        mut update: impl FnMut(usize, Seal<'_, Archived<V>>),
    ) -> Result<()> {
        let mut staged = mem::take(&mut self.staged);
        let mut first = 0;
        loop {
            staged.clear();
            for key in keys.by_ref().take(STAGE_KEYS) {
                let mut wanted = self.locate(R::to_fixed(key))?;
                wanted.home = self.table.prefetch(wanted.group, wanted.hash);
                staged.push(wanted);
            }
            if staged.is_empty() {
                break;
            }
            let generation = self.table.generation();
            for (index, wanted) in (first..).zip(&staged) {
                let found = match wanted.home {
                    Some(home) if self.table.generation() == generation => self
                        .table
                        .find(home, wanted.hash, &wanted.key, |_| true)
                        .map(|slot| (home, slot)),
                    _ => self.find(wanted),
                };
                let slot = match found {
                    Some((home, slot)) => {
                        self.touch(home, slot)?;
                        slot
                    }
                    None => self.insert(wanted, &archive::to_fixed(&initial(index)))?,
                };
                update(index, Seal::new(self.table.record_mut(slot).1));
                self.log(slot)?;
            }
            first += staged.len();
        }
        self.staged = staged;
        Ok(())
    }

    pub(super) fn visit_next(
        &self,
        cursor: &mut Cursor,
        mut visit: impl FnMut(R::View<'_>, &Archived<V>) -> Result<()>,
    ) -> Result<bool> {
        self.table
            .visit_next(cursor, |key, value| visit(R::fixed_view(key), value))
    }

    /// The barrier.
    pub(super) fn end_epoch(&mut self, epoch: Epoch) -> Result<()> {
        if self.epochs.begin_whole_base(epoch) {
            while self.copy_base_slice(usize::MAX, epoch)?.running {}
        }
        let live_bytes = self.live_bytes();
        self.epochs.end_epoch(&mut self.table, live_bytes, epoch)
    }

    /// Gathers about `bytes_max` of what the last barrier is to give; gives it when all is gathered.
    pub(super) fn gather(&mut self, bytes_max: usize) -> Result<Option<SealedParts>> {
        let Some(delta) = self.epochs.pending() else {
            return Ok(None);
        };
        let stride = Self::SHAPE.stride();
        let mut bytes = 0;
        let records_max = Table::<R::Fixed, Archived<V>>::gather_max();
        while !self.table.is_gathered() {
            if bytes >= bytes_max {
                return Ok(None);
            }
            delta.append_many(stride, records_max, |target| {
                let mut filling = Filling::new(target, stride);
                self.table.gather_next(|key, value| {
                    Self::write(filling.next(), key, value);
                    Ok(())
                })?;
                bytes += filling.records * stride;
                Ok(filling.records)
            })?;
        }
        self.epochs.seal(&mut self.table, Self::footer)
    }

    /// Copies about `bytes_max` of a base, if one is due.
    pub(super) fn copy_base_slice(
        &mut self,
        bytes_max: usize,
        epoch: Epoch,
    ) -> Result<BaseProgress> {
        let live_bytes = self.live_bytes();
        let Some(base) = self.epochs.running_base(epoch, live_bytes) else {
            return Ok(BaseProgress::default());
        };
        let stride = Self::SHAPE.stride();
        let mut progress = BaseProgress {
            bytes: 0,
            running: true,
        };
        while progress.running && progress.bytes < bytes_max {
            let Some(records_max) = self.table.visit_max(&mut base.cursor) else {
                progress.running = false;
                break;
            };
            base.log.append_many(stride, records_max, |target| {
                let mut filling = Filling::new(target, stride);
                self.table.visit_next(&mut base.cursor, |key, value| {
                    Self::write(filling.next(), key, value);
                    Ok(())
                })?;
                progress.bytes += filling.records * stride;
                Ok(filling.records)
            })?;
        }
        base.ship();
        if !progress.running {
            self.epochs
                .base
                .finish(|bytes, records| Self::footer(PieceKind::Base, bytes, records, 0))?;
        }
        Ok(progress)
    }

    /// Applies a piece: the records whose key group is in `key_groups` and an own one.
    pub(super) fn restore(
        &mut self,
        stored: &[u8],
        kind: PieceKind,
        key_groups: KeyGroupRange,
    ) -> Result<()> {
        let piece = FixedPiece::parse(stored, kind, Self::SHAPE)?;
        let mut records = piece.records();
        if kind == PieceKind::Base {
            // A base has each key once, no other base has keys of the same groups, and its records come in the order of
            // the table: nothing needs to be looked for.
            let expected = self.estimate_own(&piece, key_groups)?;
            self.table.reserve(expected, key_groups)?;
            for (key, value) in records {
                if let (Some(wanted), Some(value)) = (self.wanted_own(key, key_groups)?, value) {
                    self.insert_restored(&wanted, &archive::checked_fixed::<V>(value)?)?;
                }
            }
            return Ok(());
        }
        let mut staged = Vec::with_capacity(STAGE_KEYS);
        loop {
            staged.clear();
            for (key, value) in records.by_ref().take(STAGE_KEYS) {
                let wanted = self.wanted_own(key, key_groups)?;
                if let Some(wanted) = &wanted {
                    self.table.prefetch(wanted.group, wanted.hash);
                }
                staged.push((wanted, value));
            }
            if staged.is_empty() {
                break;
            }
            for (wanted, value) in &staged {
                match (wanted, value) {
                    (None, _) => {}
                    (Some(wanted), Some(value)) => {
                        self.restore_record(wanted, &archive::checked_fixed::<V>(value)?)?;
                    }
                    (Some(wanted), None) => {
                        if let Some((home, slot)) = self.find(wanted) {
                            self.table.remove(home, slot);
                        }
                    }
                }
            }
        }
        self.epochs.on_restored(stored.len() as u64);
        Ok(())
    }

    /// About how many of a piece's records [`FixedStore::restore`] takes: after a rescale many belong to others.
    fn estimate_own(&self, piece: &FixedPiece<'_>, key_groups: KeyGroupRange) -> Result<u64> {
        const SAMPLE: usize = 1000;
        let (mut own, mut seen) = (0_u64, 0_u64);
        for key in piece.sample_keys(SAMPLE) {
            seen += 1;
            own += u64::from(self.wanted_own(key, key_groups)?.is_some());
        }
        Ok((piece.len() as u64 * own).div_ceil(seen.max(1)))
    }

    pub(super) fn records(&self) -> u64 {
        self.table.records()
    }

    pub(super) fn slots(&self) -> u64 {
        self.table.slots()
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.table.records() * Self::SHAPE.stride() as u64
    }

    pub(super) fn table_bytes(&self) -> u64 {
        self.table.bytes_in_use()
    }

    #[inline(always)]
    pub(super) fn locate(&self, key: R::Fixed) -> Result<Wanted<R, V>> {
        let hashes = R::fixed_hashes(&key);
        let group = self.ownership.own_group(hashes.group)?;
        Ok(Self::wanted(key, group, hashes.record))
    }

    #[inline(always)]
    fn wanted(key: R::Fixed, group: KeyGroup, hash: u64) -> Wanted<R, V> {
        Wanted {
            key,
            hash,
            group,
            home: None,
            _types: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn find(&self, wanted: &Wanted<R, V>) -> Option<(FixedHome<R, V>, FixedSlot<R, V>)> {
        let home = self.table.home(wanted.group, wanted.hash)?;
        let slot = self.table.find(home, wanted.hash, &wanted.key, |_| true)?;
        Some((home, slot))
    }

    #[inline(never)]
    fn insert(&mut self, wanted: &Wanted<R, V>, value: &Archived<V>) -> Result<FixedSlot<R, V>> {
        self.epochs.count_touch();
        if let Some(undo) = &mut self.epochs.undo {
            undo.append(UndoKind::Created, Self::SHAPE.stride(), |record| {
                Self::write(record, &wanted.key, value);
                Ok(())
            })?;
        }
        let record = (&wanted.key, value);
        self.table.insert(wanted.group, wanted.hash, record, |key| {
            R::fixed_hashes(key).record
        })
    }

    /// To be called before a record is changed.
    #[inline(always)]
    fn touch(&mut self, home: FixedHome<R, V>, slot: FixedSlot<R, V>) -> Result<()> {
        self.epochs.count_touch();
        if self.table.is_touched(slot) {
            return Ok(());
        }
        if self.table.is_pending(home, slot) {
            self.write_pending(slot)?;
        }
        if let Some(undo) = &mut self.epochs.undo {
            let (key, value) = self.table.record(slot);
            undo.append(UndoKind::Changed, Self::SHAPE.stride(), |record| {
                Self::write(record, key, value);
                Ok(())
            })?;
        }
        self.table.note_touched(home, slot);
        Ok(())
    }

    /// To be called when a record was written.
    #[inline(always)]
    fn log(&mut self, slot: FixedSlot<R, V>) -> Result<()> {
        if self.epochs.logs() {
            let (key, value) = self.table.record(slot);
            let record = self.epochs.append_value(Self::SHAPE.stride())?;
            Self::write(record, key, value);
        }
        Ok(())
    }

    #[inline(never)]
    fn write_pending(&mut self, slot: FixedSlot<R, V>) -> Result<()> {
        if let Some(delta) = self.epochs.pending() {
            let (key, value) = self.table.record(slot);
            Self::write(delta.append(Self::SHAPE.stride())?, key, value);
        }
        Ok(())
    }

    #[inline(always)]
    fn write(record: &mut [u8], key: &R::Fixed, value: &Archived<V>) {
        Self::SHAPE.write(
            record,
            R::fixed_bytes(key),
            archive::fixed_bytes::<V>(value),
        );
    }

    fn footer(kind: PieceKind, records_bytes: u64, records: u64, deletions: u64) -> Footer {
        Footer {
            kind,
            format: RecordFormat::Fixed,
            records_bytes,
            records,
            deletions,
            key_bytes: Self::SHAPE.key_bytes as u32,
            value_bytes: Self::SHAPE.value_bytes as u32,
        }
    }
}

/// Records that are written one after the other.
struct Filling<'a> {
    rest: std::slice::ChunksExactMut<'a, u8>,
    records: usize,
}

impl<'a> Filling<'a> {
    fn new(target: &'a mut [u8], stride: usize) -> Self {
        Self {
            rest: target.chunks_exact_mut(stride),
            records: 0,
        }
    }

    /// Where the next record is written; nowhere when there are more than were announced.
    #[inline(always)]
    fn next(&mut self) -> &'a mut [u8] {
        self.records += 1;
        self.rest.next().unwrap_or_default()
    }
}
