//! Time-to-live as simply as it can be said: a value and its end, beside the state under test.

use std::fmt;

use crate::state::{StateTtl, TtlUpdate};

/// The time of an operation, what values last by, and the seed of the run: what a failed comparison has to say.
#[derive(Clone, Copy)]
pub(super) struct Time {
    pub(super) seed: u64,
    pub(super) now: i64,
    pub(super) time_to_live: Option<StateTtl>,
}

/// A value that was written at some time.
#[derive(Clone, Debug)]
pub(super) struct Timed<V> {
    pub(super) value: V,
    expires: i64,
}

impl Time {
    /// A value written now.
    pub(super) fn write<V>(self, value: V) -> Timed<V> {
        let expires = match self.time_to_live {
            Some(time_to_live) => self.now + time_to_live.duration.as_millis() as i64,
            None => i64::MAX,
        };
        Timed { value, expires }
    }

    /// Whether a value is still there.
    pub(super) fn is_live<V>(self, timed: &Timed<V>) -> bool {
        timed.expires > self.now
    }

    /// What reading a value does to its end.
    pub(super) fn read<V>(self, timed: &mut Timed<V>) -> &V {
        if let Some(time_to_live) = self.time_to_live
            && time_to_live.update == TtlUpdate::OnReadAndWrite
        {
            let duration = time_to_live.duration.as_millis() as i64;
            if self.now + duration - timed.expires >= duration / 16 {
                timed.expires = self.now + duration;
            }
        }
        &timed.value
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            now,
            time_to_live,
        } = self;
        write!(formatter, "seed {seed}, {now} ms, {time_to_live:?}:")
    }
}
