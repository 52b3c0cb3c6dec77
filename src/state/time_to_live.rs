//! Time-to-live: how long a value lasts after it was last written, or last used.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How long the values of a state last, by processing time; Flink's `StateTtlConfig`.
///
/// Each value has its own time: in a map state each entry, in a list state each element. One whose time is over is
/// never given back, and never counted. It is removed from memory a little later: the state is swept in slices between
/// batches, and each sweep begins a sixteenth of the duration after the one before it, at the earliest.
///
/// A checkpoint keeps with each value the moment at which its time is over. So time goes on while the job is down, and
/// another duration counts from the next write on. A stored state can be given a time-to-live, and then the time of all its
/// values begins with the restore; or it can lose it, and then what has not come to its end by the restore stays for good.
///
/// ```
/// use std::time::Duration;
///
/// use floodmark::state::{StateSpec, StateTtl, TtlUpdate};
///
/// let hour = StateTtl {
///     duration: Duration::from_secs(3600),
///     update: TtlUpdate::OnReadAndWrite,
/// };
/// let spec = StateSpec::<i64>::new("sessions").with_time_to_live(hour);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTtl {
    /// How long a value lasts: at least a millisecond.
    pub duration: Duration,
    /// What makes its time begin anew.
    pub update: TtlUpdate,
}

/// What makes the time of a value begin anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlUpdate {
    /// Writing it.
    #[default]
    OnCreateAndWrite,
    /// Writing it, and reading it by its key. Visiting all keys of a state does not count as reading.
    ///
    /// Each renewal is a write of the value, so a read renews only once a sixteenth of the duration is over.
    OnReadAndWrite,
}

impl StateTtl {
    /// Values last so long after they were last written.
    pub fn new(duration: Duration) -> Self {
        Self {
            duration,
            update: TtlUpdate::default(),
        }
    }

    /// The rule to go by, for the state `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the duration is shorter than a millisecond.
    pub(super) fn lifetime(self, name: &str) -> Result<Lifetime> {
        let duration_millis = i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX);
        if duration_millis == 0 {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the time-to-live of state \"{name}\" is {:?}: give it at least a millisecond, or none at all",
                    self.duration
                ),
            ));
        }
        Ok(Lifetime {
            duration_millis,
            update: self.update,
        })
    }
}

/// What a time-to-live comes down to; moments are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    duration_millis: i64,
    update: TtlUpdate,
}

impl Lifetime {
    /// When the time of a value is over that is written now.
    pub(super) fn expires(self, now: i64) -> i64 {
        now.saturating_add(self.duration_millis)
    }

    /// Whether reading a value renews it, when its time would be over at `expires`.
    pub(super) fn renews_on_read(self, expires: i64, now: i64) -> bool {
        self.update == TtlUpdate::OnReadAndWrite
            && self.expires(now).saturating_sub(expires) >= self.step_millis()
    }

    /// When the next sweep may begin, if one begins now.
    pub(super) fn next_sweep(self, now: i64) -> i64 {
        now.saturating_add(self.step_millis())
    }

    /// How exact renewals and sweeps are.
    fn step_millis(self) -> i64 {
        (self.duration_millis / 16).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(millis: u64, update: TtlUpdate) -> Lifetime {
        let duration = Duration::from_millis(millis);
        StateTtl { duration, update }.lifetime("sums").unwrap()
    }

    #[test]
    fn a_read_renews_once_a_sixteenth_of_the_duration_is_over() {
        let check = |millis, update, now, expected| {
            let lifetime = lifetime(millis, update);
            let renews = lifetime.renews_on_read(lifetime.expires(0), now);
            assert_eq!(renews, expected, "{millis} ms {update:?} at {now}");
        };
        check(1600, TtlUpdate::OnReadAndWrite, 99, false);
        check(1600, TtlUpdate::OnReadAndWrite, 100, true);
        check(1600, TtlUpdate::OnCreateAndWrite, 1599, false);
        check(3, TtlUpdate::OnReadAndWrite, 0, false);
        check(3, TtlUpdate::OnReadAndWrite, 1, true);
        // The clock was set back.
        check(1600, TtlUpdate::OnReadAndWrite, -500, false);
    }

    #[test]
    fn the_longest_duration_never_ends() {
        let lifetime = StateTtl::new(Duration::MAX).lifetime("sums").unwrap();
        assert_eq!(lifetime.expires(1_700_000_000_000), i64::MAX);
    }

    #[test]
    fn a_duration_below_a_millisecond_is_refused_with_the_name_of_the_state() {
        let error = StateTtl::new(Duration::from_micros(999))
            .lifetime("sums")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("\"sums\" is 999µs"), "{error}");
    }
}
