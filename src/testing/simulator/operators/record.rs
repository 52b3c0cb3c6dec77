//! What travels through a random job.

/// What travels through a random job: a key, an event time and a value.
pub(in super::super) type Record = (u64, i64, u64);

/// Mixes the bits of a number, so that keys and values look like nothing.
pub(in super::super) fn mix(number: u64, salt: u64) -> u64 {
    let mut mixed = (number ^ salt.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 32)
}

/// A number that stands for a record.
pub(super) fn digest((key, time, value): &Record) -> u64 {
    mix(mix(*key, *value), time.cast_unsigned())
}

/// The subtask that looks after a record which all are given.
pub(super) fn keeper(record: &Record, parallelism: usize) -> usize {
    (digest(record) % parallelism as u64) as usize
}
