//! A value with the moment at which its time is over, as it lies in a state with a time-to-live.

use std::mem::offset_of;

use rkyv::bytecheck::CheckBytes;
use rkyv::munge::munge;
use rkyv::rancor::Fallible;
use rkyv::seal::Seal;
use rkyv::traits::CopyOptimization;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Archived, Deserialize, Place, Portable, Serialize};

use super::archive::{self, StateValue};
use super::schema::{SchemaText, StateSchema};
use crate::error::Result;

/// A value and its end. The order of the fields is fixed, so that a value that can lie in a slot can do so with its end.
#[repr(C)]
pub(super) struct Expiring<V> {
    /// From this moment on the value counts as removed; milliseconds since the Unix epoch, little-endian. As bytes it has
    /// no alignment, so that it brings no padding about.
    expires: [u8; 8],
    value: V,
}

impl<V> Expiring<V> {
    /// A value, and the moment from which on it counts as removed, in milliseconds since the Unix epoch.
    pub(super) fn new(expires_unix_millis: i64, value: V) -> Self {
        Self {
            expires: expires_unix_millis.to_le_bytes(),
            value,
        }
    }

    /// The value without its end, unless its time is over.
    pub(super) fn into_live(self, now_unix_millis: i64) -> Option<V> {
        (i64::from_le_bytes(self.expires) > now_unix_millis).then_some(self.value)
    }

    /// Another value with the same end.
    ///
    /// # Errors
    /// Those of `map`.
    pub(super) fn try_map<W>(self, map: impl FnOnce(V) -> Result<W>) -> Result<Expiring<W>> {
        Ok(Expiring {
            expires: self.expires,
            value: map(self.value)?,
        })
    }
}

impl<V: StateSchema> StateSchema for Expiring<V> {
    fn describe(schema: &mut SchemaText) {
        schema.generic("expiring", &[V::describe]);
    }
}

/// An archived value and its end.
#[derive(Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub(super) struct ArchivedExpiring<A> {
    /// See [`Expiring`].
    expires: [u8; 8],
    /// The value.
    pub(super) value: A,
}

// What rkyv's macro would write, but for the first constant: for generic types the macro leaves that out, and no value
// with a time-to-live could lie in a slot.
impl<V: Archive> Archive for Expiring<V> {
    // SAFETY: when both fields are the same bytes as their archived forms, there is no padding, and the fields lie at the
    // same offsets, the whole is the same bytes as its archived form too.
    const COPY_OPTIMIZATION: CopyOptimization<Self> = unsafe {
        CopyOptimization::enable_if(
            <[u8; 8]>::COPY_OPTIMIZATION.is_enabled()
                && V::COPY_OPTIMIZATION.is_enabled()
                && size_of::<Self>() == size_of::<[u8; 8]>() + size_of::<V>()
                && offset_of!(Self, value) == offset_of!(ArchivedExpiring<V::Archived>, value),
        )
    };

    type Archived = ArchivedExpiring<V::Archived>;
    type Resolver = V::Resolver;

    fn resolve(&self, resolver: V::Resolver, out: Place<Self::Archived>) {
        munge!(let ArchivedExpiring { expires, value } = out);
        self.expires.resolve([(); 8], expires);
        self.value.resolve(resolver, value);
    }
}

impl<V: Serialize<S>, S: Fallible + ?Sized> Serialize<S> for Expiring<V> {
    fn serialize(&self, serializer: &mut S) -> std::result::Result<V::Resolver, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<V, D> Deserialize<Expiring<V>, D> for ArchivedExpiring<V::Archived>
where
    V: Archive<Archived: Deserialize<V, D>>,
    D: Fallible + ?Sized,
{
    fn deserialize(&self, deserializer: &mut D) -> std::result::Result<Expiring<V>, D::Error> {
        Ok(Expiring {
            expires: self.expires,
            value: self.value.deserialize(deserializer)?,
        })
    }
}

impl<A> ArchivedExpiring<A> {
    /// From when on the value counts as removed, in milliseconds since the Unix epoch.
    #[inline]
    pub(super) fn expires_unix_millis(&self) -> i64 {
        i64::from_le_bytes(self.expires)
    }

    /// Whether the value's time is over.
    #[inline]
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.expires_unix_millis() <= now
    }
}

/// Sets a value's end; gives the value, to be changed in place.
pub(super) fn renew<V: StateValue>(
    record: Seal<'_, Archived<Expiring<V>>>,
    expires_unix_millis: i64,
) -> Seal<'_, Archived<V>> {
    munge!(let ArchivedExpiring { expires, value } = record);
    *expires.unseal() = expires_unix_millis.to_le_bytes();
    value
}

/// Replaces an archived value whose type [`archive::is_fixed`].
pub(super) fn overwrite_fixed<V: StateValue>(target: Seal<'_, Archived<V>>, value: &V) {
    let value = archive::to_fixed(value);
    // SAFETY: `to_fixed` asserts that the type is fixed: its bytes are all initialised, and being the same wherever they
    // lie, none of them is a pointer to elsewhere, so the value can be moved.
    *unsafe { target.unseal_unchecked() } = value;
}

/// Another one of `value`, by way of its archive: a state's values need not be `Clone`.
pub(super) fn copy_of<V: StateValue>(value: &V) -> Result<V> {
    if archive::is_fixed::<V>() {
        return archive::deserialise::<V>(&archive::to_fixed(value));
    }
    let mut buffer = AlignedVec::new();
    let start = archive::append(value, &mut buffer)?;
    // SAFETY: `append` has just archived a `V` there, and aligned it.
    archive::deserialise::<V>(unsafe { archive::access::<V>(&buffer[start..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_value_stays_fixed_with_its_end() {
        assert!(archive::is_fixed::<Expiring<i64>>());
        assert!(archive::is_fixed::<Expiring<[u64; 3]>>());
        assert!(archive::is_fixed::<Expiring<()>>());
        assert!(archive::is_fixed::<Expiring<u16>>());
        assert!(!archive::is_fixed::<Expiring<u128>>(), "it has padding");
        assert!(!archive::is_fixed::<Expiring<String>>());
    }

    #[test]
    fn a_copy_equals_the_value() {
        let text = "longer than what lies inline".to_owned();
        assert_eq!(copy_of(&text).unwrap(), text);
        assert_eq!(copy_of(&7_u64).unwrap(), 7);
        let list = vec![Some("a".to_owned()), None];
        assert_eq!(copy_of(&list).unwrap(), list);
    }
}
