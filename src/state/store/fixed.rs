//! The fixed layout: key and value lie in the table's slot.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem;
use std::rc::Rc;

use rkyv::Archived;
use rkyv::seal::Seal;

use super::Ownership;
use crate::error::Result;
use crate::model::{KeyGroup, KeyGroupRange};
use crate::state::archive::{self, RecordKey, StateValue};
use crate::state::base::{BaseProgress, BaseSchedule};
use crate::state::delta::FixedDelta;
use crate::state::descriptor::RecordFormat;
use crate::state::log::RecordLog;
use crate::state::piece::{FixedPiece, FixedShape, Footer, PieceKind};
use crate::state::sealed::{Epoch, SealedBase, SealedBytes};
use crate::state::segment::SegmentPool;
use crate::state::table::{Cursor, Slot, SubTable, Table};

/// So many keys of a batch are looked up at once: enough to keep all of a core's line-fill buffers busy, few enough to
/// stay in its first-level cache.
const STAGE_KEYS: usize = 32;

/// A state whose keys and values each have one size, and whose archived bytes are those of the types themselves.
pub(in crate::state) struct FixedStore<R: RecordKey, V: StateValue> {
    ownership: Ownership,
    table: Table<R::Fixed, Archived<V>>,
    delta: FixedDelta,
    base: BaseSchedule,
    /// Kept between batches for its memory.
    staged: Vec<Wanted<R, V>>,
}

/// A key of a batch on its way through the table.
struct Wanted<R: RecordKey, V: StateValue> {
    key: R::Fixed,
    hash: u64,
    group: KeyGroup,
    sub_table: Option<SubTable<R::Fixed, Archived<V>>>,
    slot: Option<Slot<R::Fixed, Archived<V>>>,
    _types: PhantomData<(R, V)>,
}

impl<R: RecordKey, V: StateValue> FixedStore<R, V> {
    const SHAPE: FixedShape = FixedShape {
        key_bytes: size_of::<R::Fixed>(),
        value_bytes: size_of::<Archived<V>>(),
    };

    /// An empty store.
    pub(in crate::state) fn new(
        ownership: Ownership,
        segments: Rc<RefCell<SegmentPool>>,
        log: RecordLog,
    ) -> Self {
        Self {
            ownership,
            table: Table::new(segments, ownership.key_groups),
            delta: FixedDelta::new(log),
            base: BaseSchedule::default(),
            staged: Vec::with_capacity(STAGE_KEYS),
        }
    }

    pub(super) fn with<T>(
        &self,
        key: R::Native<'_>,
        read: impl FnOnce(Option<&Archived<V>>) -> T,
    ) -> Result<T> {
        let wanted = self.locate(R::to_fixed(key))?;
        let slot = self.find(&wanted);
        Ok(read(slot.map(|slot| self.table.record(slot).1)))
    }

    pub(super) fn put(&mut self, key: R::Native<'_>, value: &V) -> Result<()> {
        let wanted = self.locate(R::to_fixed(key))?;
        let value = archive::to_fixed(value);
        let slot = match self.find(&wanted) {
            Some(slot) => {
                *self.table.record_mut(slot).1 = value;
                slot
            }
            None => self.insert(&wanted, &value)?,
        };
        self.touch(slot)
    }

    pub(super) fn remove(&mut self, key: R::Native<'_>) -> Result<bool> {
        let wanted = self.locate(R::to_fixed(key))?;
        let Some(slot) = self.find(&wanted) else {
            return Ok(false);
        };
        let (key, value, mark) = self.table.record_mut(slot);
        self.delta.remove(
            Self::SHAPE,
            *mark,
            R::fixed_bytes(key),
            archive::fixed_bytes::<V>(value),
        )?;
        self.table.remove(wanted.group, wanted.hash, slot);
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
                wanted.sub_table = self.table.prefetch(wanted.group, wanted.hash);
                staged.push(wanted);
            }
            if staged.is_empty() {
                break;
            }
            // The table changes no more until all of the stage are found, so the sub-tables are still the right ones.
            let generation = self.table.generation();
            for wanted in &mut staged {
                let sub_table = wanted.sub_table;
                wanted.slot =
                    sub_table.and_then(|found| found.find(wanted.hash, &wanted.key, |_| true));
                if let Some(slot) = wanted.slot {
                    self.delta.prefetch(Self::SHAPE, self.table.mark(slot));
                }
            }
            for (index, wanted) in (first..).zip(&staged) {
                let slot = match wanted.slot {
                    Some(slot) if self.table.generation() == generation => slot,
                    _ => match self.find(wanted) {
                        Some(slot) => slot,
                        None => self.insert(wanted, &archive::to_fixed(&initial(index)))?,
                    },
                };
                update(index, Seal::new(self.table.record_mut(slot).1));
                self.touch(slot)?;
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

    pub(super) fn seal(&mut self) -> Result<(SealedBytes, Option<SealedBase>)> {
        let delta = self.delta.seal(Self::SHAPE)?;
        let base = self.base.on_barrier(delta.len());
        Ok((delta, base))
    }

    /// Copies about `bytes_max` of a base, if one is due.
    pub(super) fn copy_base_slice(
        &mut self,
        bytes_max: usize,
        epoch: Epoch,
    ) -> Result<BaseProgress> {
        let base_bytes = self.live_bytes();
        let delta = &self.delta;
        let Some(base) = self.base.running(epoch, base_bytes, || delta.another_log()) else {
            return Ok(BaseProgress::default());
        };
        let mut progress = BaseProgress {
            bytes: 0,
            running: true,
        };
        while progress.running && progress.bytes < bytes_max {
            let (log, records) = (&mut base.log, &mut base.records);
            progress.running = self.table.visit_next(&mut base.cursor, |key, value| {
                let (_, record) = log.append(Self::SHAPE.stride())?;
                Self::SHAPE.write(
                    record,
                    R::fixed_bytes(key),
                    archive::fixed_bytes::<V>(value),
                );
                *records += 1;
                progress.bytes += Self::SHAPE.stride();
                Ok(())
            })?;
        }
        if !progress.running {
            self.base.finish(|records_bytes, records| Footer {
                kind: PieceKind::Base,
                format: RecordFormat::Fixed,
                records_bytes,
                records,
                deletions: 0,
                key_bytes: Self::SHAPE.key_bytes as u32,
                value_bytes: Self::SHAPE.value_bytes as u32,
            })?;
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
        for (key, value) in piece.records() {
            let key = R::checked_fixed(key)?;
            let hashes = R::fixed_hashes(&key);
            let group = self.ownership.group(hashes.group);
            if !key_groups.contains(group) || !self.ownership.key_groups.contains(group) {
                continue;
            }
            let wanted = Self::wanted(key, group, hashes.record);
            match (self.find(&wanted), value) {
                (Some(slot), Some(value)) => {
                    *self.table.record_mut(slot).1 = archive::checked_fixed::<V>(value)?;
                }
                (None, Some(value)) => {
                    self.insert(&wanted, &archive::checked_fixed::<V>(value)?)?;
                }
                (Some(slot), None) => self.table.remove(group, hashes.record, slot),
                (None, None) => {}
            }
        }
        if kind == PieceKind::Delta {
            self.base.on_restored_delta(stored.len());
        }
        Ok(())
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

    pub(super) fn delta_bytes(&self) -> u64 {
        self.delta.len()
    }

    pub(super) fn base_bytes(&self) -> u64 {
        self.base.bytes()
    }

    #[inline(always)]
    fn locate(&self, key: R::Fixed) -> Result<Wanted<R, V>> {
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
            sub_table: None,
            slot: None,
            _types: PhantomData,
        }
    }

    #[inline(always)]
    fn find(&self, wanted: &Wanted<R, V>) -> Option<Slot<R::Fixed, Archived<V>>> {
        self.table
            .find(wanted.group, wanted.hash, &wanted.key, |_| true)
    }

    #[inline(never)]
    fn insert(
        &mut self,
        wanted: &Wanted<R, V>,
        value: &Archived<V>,
    ) -> Result<Slot<R::Fixed, Archived<V>>> {
        self.table.insert(
            wanted.group,
            wanted.hash,
            (&wanted.key, value, self.delta.no_mark()),
            |key| R::fixed_hashes(key).record,
        )
    }

    #[inline(always)]
    fn touch(&mut self, slot: Slot<R::Fixed, Archived<V>>) -> Result<()> {
        let (key, value, mark) = self.table.record_mut(slot);
        let touched = self.delta.touch(
            Self::SHAPE,
            *mark,
            R::fixed_bytes(key),
            archive::fixed_bytes::<V>(value),
        )?;
        *mark = touched;
        Ok(())
    }
}
