//! When to warn about something that lasts.

use std::time::Duration;

/// How long after a warning the next one about the same comes.
const WARNING_PAUSE: Duration = Duration::from_secs(30);

/// Something that is away, and keeps being reported: the user is told at once, then once in a while, then of its end.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When the last warning was, on the clock that never goes back.
    warned: Option<Duration>,
}

impl Outage {
    /// Takes note of a report; says whether to pass it on.
    pub(super) fn is_news(&mut self, now: Duration) -> bool {
        let is_recent = |warned: Duration| now.saturating_sub(warned) < WARNING_PAUSE;
        if self.warned.is_some_and(is_recent) {
            return false;
        }
        self.warned = Some(now);
        true
    }

    /// It is back; says whether anybody was told that it was away.
    pub(super) fn end(&mut self) -> bool {
        self.warned.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_of_at_once_then_once_in_a_while_then_its_end() {
        let mut outage = Outage::default();
        assert!(!outage.end());
        let told: Vec<_> = [0, 1, 29, 30, 31, 60]
            .into_iter()
            .filter(|now| outage.is_news(Duration::from_secs(*now)))
            .collect();
        assert_eq!(told, [0, 30, 60]);
        assert!(outage.end());
        assert!(!outage.end());
        assert!(
            outage.is_news(Duration::from_secs(61)),
            "another outage is news again"
        );
    }
}
