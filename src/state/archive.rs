//! Keys and values as rkyv archives them: what a type must be to be kept in state, and how a record's key is made.

use std::any::TypeId;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::slice;

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error as ArchiveError;
use rkyv::seal::Seal;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Archived, Deserialize, Portable, Serialize};

use super::piece::corrupt;
use super::schema::StateSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::model::hash_key;

/// Archives start at multiples of this, the largest alignment that an archived type can have here.
pub(super) const ARCHIVE_ALIGNMENT: usize = 16;

/// What a value in state must be: a type that rkyv can archive, check and bring back, and that says how it is laid out.
/// Every type with rkyv's three derives that is defined in [`state_schema!`](crate::state_schema) is one.
pub trait StateValue:
    StateSchema
    + Archive<
        Archived: Portable
                      + for<'a> CheckBytes<HighValidator<'a, ArchiveError>>
                      + Deserialize<Self, HighDeserializer<ArchiveError>>,
    > + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, ArchiveError>>
    + Sized
    + 'static
{
}

impl<T> StateValue for T where
    T: StateSchema
        + Archive<
            Archived: Portable
                          + for<'a> CheckBytes<HighValidator<'a, ArchiveError>>
                          + Deserialize<T, HighDeserializer<ArchiveError>>,
        > + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, ArchiveError>>
        + Sized
        + 'static
{
}

/// What a key in state must be: a [`StateValue`] whose archived bytes are canonical.
///
/// Two keys are the same when their archived bytes are: equal keys must give equal bytes. Integers, strings, tuples,
/// and structs of such do; floating-point numbers (two zeros, many NaNs) and hash maps do not.
pub trait StateKey: StateValue {}

impl<T: StateValue> StateKey for T {}

/// Whether a type's archived form is the same bytes as the type itself, so that it can lie in a slot of the table.
pub(super) const fn is_fixed<T: Archive>() -> bool {
    T::COPY_OPTIMIZATION.is_enabled()
        && size_of::<T>() == size_of::<T::Archived>()
        && align_of::<T::Archived>() <= ARCHIVE_ALIGNMENT
}

/// The archived form of a value whose type [`is_fixed`].
#[inline]
pub(super) fn to_fixed<T: Archive>(value: &T) -> T::Archived {
    assert!(is_fixed::<T>(), "the type is not copied into its archive");
    // SAFETY: rkyv promises for such a type that its bytes are those of its archived form, and the sizes are equal.
    unsafe { mem::transmute_copy(value) }
}

/// The bytes of an archived value whose type [`is_fixed`].
#[inline]
pub(super) fn fixed_bytes<T: Archive>(archived: &T::Archived) -> &[u8] {
    assert!(is_fixed::<T>(), "the type is not copied into its archive");
    // SAFETY: rkyv promises for such a type that none of its bytes is uninitialised.
    unsafe { slice::from_raw_parts(ptr::from_ref(archived).cast(), size_of::<T::Archived>()) }
}

/// Whether it is a type of which any bytes are a value. There are more; these are the ones that need no look.
#[inline]
fn is_number<T: 'static>() -> bool {
    let found = TypeId::of::<T>();
    found == TypeId::of::<u64>()
        || found == TypeId::of::<i64>()
        || found == TypeId::of::<f64>()
        || found == TypeId::of::<u32>()
        || found == TypeId::of::<i32>()
        || found == TypeId::of::<()>()
}

/// Reads an archived value whose type [`is_fixed`] from stored bytes, and checks it.
pub(super) fn checked_fixed<T: StateValue>(bytes: &[u8]) -> Result<T::Archived> {
    assert!(is_fixed::<T>(), "the type is not copied into its archive");
    if bytes.len() != size_of::<T::Archived>() {
        return Err(corrupt("a key or a value has a wrong length"));
    }
    let mut value = MaybeUninit::<T::Archived>::uninit();
    // SAFETY: the target has room for as many bytes as were just compared, and is a local that overlaps nothing.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), bytes.len()) };
    if !is_number::<T>() {
        // SAFETY: all bytes of `value` were just written.
        let aligned = unsafe { slice::from_raw_parts(value.as_ptr().cast::<u8>(), bytes.len()) };
        check::<T>(aligned)?;
    }
    // SAFETY: the bytes are initialised, and a valid value, as checked.
    Ok(unsafe { value.assume_init() })
}

/// Appends the archive of `value` to `buffer`, at a multiple of [`ARCHIVE_ALIGNMENT`]; says where it starts.
pub(super) fn append<T: StateValue>(value: &T, buffer: &mut AlignedVec) -> Result<usize> {
    let start = buffer.len().next_multiple_of(ARCHIVE_ALIGNMENT);
    buffer.resize(start, 0);
    let writer = mem::take(buffer);
    *buffer = to_bytes_in::<_, ArchiveError>(value, writer).map_err(|source| {
        Error::new(ErrorKind::Data, "a key or a value cannot be archived").with_source(source)
    })?;
    Ok(start)
}

/// Checks that stored bytes, which must be aligned, are an archive of a `T`.
pub(super) fn check<T: StateValue>(bytes: &[u8]) -> Result<()> {
    rkyv::access::<Archived<T>, ArchiveError>(bytes)
        .map(drop)
        .map_err(|source| {
            corrupt("a key or a value does not have the form of its type").with_source(source)
        })
}

/// The archived value that `bytes` are.
///
/// # Safety
/// The bytes are aligned, and were written by [`append`] for a `T`, or passed [`check`] as one.
#[inline]
pub(super) unsafe fn access<T: StateValue>(bytes: &[u8]) -> &Archived<T> {
    // SAFETY: the caller's promise.
    unsafe { rkyv::access_unchecked(bytes) }
}

/// The archived value that `bytes` are, to be changed in place.
///
/// # Safety
/// As for [`access`].
#[inline]
pub(super) unsafe fn access_mut<T: StateValue>(bytes: &mut [u8]) -> Seal<'_, Archived<T>> {
    // SAFETY: the caller's promise.
    unsafe { rkyv::access_unchecked_mut(bytes) }
}

/// Brings an archived value back.
pub(super) fn deserialise<T: StateValue>(archived: &Archived<T>) -> Result<T> {
    rkyv::deserialize(archived).map_err(|source: ArchiveError| {
        Error::new(ErrorKind::Data, "a value cannot be deserialised").with_source(source)
    })
}

/// The two hashes of a record: one says to which key group it belongs, the other where it lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashes {
    /// Of the key alone.
    pub(super) group: u64,
    /// Of all that identifies the record.
    pub(super) record: u64,
}

/// What identifies a record: a key, or in a map a key and a map key.
pub(super) trait RecordKey: 'static {
    /// How the user hands it in.
    type Native<'k>: Copy;
    /// How it lies in a slot, if it [`RecordKey::FIXED`] is.
    type Fixed: 'static;
    /// How the user gets it back.
    type View<'a>;
    /// Whether it can lie in a slot.
    const FIXED: bool;

    /// Its form in a slot.
    fn to_fixed(key: Self::Native<'_>) -> Self::Fixed;
    /// The bytes of its form in a slot.
    fn fixed_bytes(key: &Self::Fixed) -> &[u8];
    /// Its form in a slot from stored bytes, checked.
    fn checked_fixed(bytes: &[u8]) -> Result<Self::Fixed>;
    /// Its hashes.
    fn fixed_hashes(key: &Self::Fixed) -> Hashes;
    /// What the user sees of it.
    fn fixed_view(key: &Self::Fixed) -> Self::View<'_>;

    /// Appends its bytes to `buffer`, aligned; says where they start. They end where the buffer does.
    fn append(key: Self::Native<'_>, buffer: &mut AlignedVec) -> Result<usize>;
    /// Checks stored bytes, which must be aligned.
    fn check(bytes: &[u8]) -> Result<()>;
    /// The hashes of bytes that [`RecordKey::append`] made, or that passed [`RecordKey::check`].
    fn hashes(bytes: &[u8]) -> Hashes;
    /// What the user sees of it.
    ///
    /// # Safety
    /// The bytes are aligned, and were made by [`RecordKey::append`], or passed [`RecordKey::check`].
    unsafe fn view(bytes: &[u8]) -> Self::View<'_>;
}

/// A record of a value state: one for each key.
pub(super) struct SingleKey<K>(std::marker::PhantomData<K>);

impl<K: StateKey> RecordKey for SingleKey<K> {
    type Native<'k> = &'k K;
    type Fixed = Archived<K>;
    type View<'a> = &'a Archived<K>;
    const FIXED: bool = is_fixed::<K>();

    #[inline]
    fn to_fixed(key: &K) -> Archived<K> {
        to_fixed(key)
    }

    #[inline]
    fn fixed_bytes(key: &Archived<K>) -> &[u8] {
        fixed_bytes::<K>(key)
    }

    fn checked_fixed(bytes: &[u8]) -> Result<Archived<K>> {
        checked_fixed::<K>(bytes)
    }

    #[inline]
    fn fixed_hashes(key: &Archived<K>) -> Hashes {
        Self::hashes(fixed_bytes::<K>(key))
    }

    fn fixed_view(key: &Archived<K>) -> &Archived<K> {
        key
    }

    fn append(key: &K, buffer: &mut AlignedVec) -> Result<usize> {
        append(key, buffer)
    }

    fn check(bytes: &[u8]) -> Result<()> {
        check::<K>(bytes)
    }

    #[inline]
    fn hashes(bytes: &[u8]) -> Hashes {
        let hash = hash_key(bytes);
        Hashes {
            group: hash,
            record: hash,
        }
    }

    unsafe fn view(bytes: &[u8]) -> &Archived<K> {
        // SAFETY: the caller's promise.
        unsafe { access::<K>(bytes) }
    }
}

/// A record of a map state: one for each entry of each key's map.
///
/// Its bytes are the key's archive, zeros up to a multiple of 16, the map key's archive, and the length of the key's
/// archive in 4 bytes.
pub(super) struct EntryKey<K, M>(std::marker::PhantomData<(K, M)>);

/// A key and a map key as they lie in a slot.
#[repr(C)]
pub(super) struct FixedEntryKey<K, M> {
    key: K,
    map_key: M,
}

impl<K: StateKey, M: StateKey> RecordKey for EntryKey<K, M> {
    type Native<'k> = (&'k K, &'k M);
    type Fixed = FixedEntryKey<Archived<K>, Archived<M>>;
    type View<'a> = (&'a Archived<K>, &'a Archived<M>);
    // A pair with padding has uninitialised bytes, which could be neither compared nor stored.
    const FIXED: bool = is_fixed::<K>()
        && is_fixed::<M>()
        && size_of::<Self::Fixed>() == size_of::<Archived<K>>() + size_of::<Archived<M>>();

    #[inline]
    fn to_fixed((key, map_key): (&K, &M)) -> Self::Fixed {
        FixedEntryKey {
            key: to_fixed(key),
            map_key: to_fixed(map_key),
        }
    }

    #[inline]
    fn fixed_bytes(key: &Self::Fixed) -> &[u8] {
        assert!(Self::FIXED, "the pair is not copied into its archive");
        // SAFETY: neither part has uninitialised bytes, and there is no padding, as asserted.
        unsafe { slice::from_raw_parts(ptr::from_ref(key).cast(), size_of::<Self::Fixed>()) }
    }

    fn checked_fixed(bytes: &[u8]) -> Result<Self::Fixed> {
        let (key, map_key) = bytes
            .split_at_checked(size_of::<Archived<K>>())
            .ok_or_else(|| corrupt("a map's key has a wrong length"))?;
        Ok(FixedEntryKey {
            key: checked_fixed::<K>(key)?,
            map_key: checked_fixed::<M>(map_key)?,
        })
    }

    #[inline]
    fn fixed_hashes(key: &Self::Fixed) -> Hashes {
        Hashes {
            group: hash_key(fixed_bytes::<K>(&key.key)),
            record: hash_key(Self::fixed_bytes(key)),
        }
    }

    fn fixed_view(key: &Self::Fixed) -> Self::View<'_> {
        (&key.key, &key.map_key)
    }

    fn append((key, map_key): (&K, &M), buffer: &mut AlignedVec) -> Result<usize> {
        let start = append(key, buffer)?;
        let key_length = (buffer.len() - start) as u32;
        append(map_key, buffer)?;
        buffer.extend_from_slice(&key_length.to_le_bytes());
        Ok(start)
    }

    fn check(bytes: &[u8]) -> Result<()> {
        let (key, map_key) =
            split_entry_key(bytes).ok_or_else(|| corrupt("a map's key has a wrong length"))?;
        check::<K>(key)?;
        check::<M>(map_key)
    }

    fn hashes(bytes: &[u8]) -> Hashes {
        let key = split_entry_key(bytes).map_or(bytes, |(key, _)| key);
        Hashes {
            group: hash_key(key),
            record: hash_key(bytes),
        }
    }

    unsafe fn view(bytes: &[u8]) -> Self::View<'_> {
        let (key, map_key) = split_entry_key(bytes).unwrap_or_default();
        // SAFETY: the caller promises that the bytes were made by `append` or passed `check`, which both make sure that
        // the parts are there, aligned, and archives of their types.
        unsafe { (access::<K>(key), access::<M>(map_key)) }
    }
}

/// The key's archive and the map key's of an entry's key in a variable record.
pub(super) fn split_entry_key(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (parts, length) = bytes.split_last_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    let map_key_start = length.checked_next_multiple_of(ARCHIVE_ALIGNMENT)?;
    Some((parts.get(..length)?, parts.get(map_key_start..)?))
}
