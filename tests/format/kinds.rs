//! States of more than one set of records, and values with a time-to-live.

use std::time::Duration;

use floodmark::model::Clock;
use floodmark::state::{KeyedStateBackend, ListState, MapState, StateSpec, StateTtl, ValueState};

use crate::states::Content;

/// How many keys each state has.
const KEYS: u64 = 8;

/// For how many epochs an entry or an element stays.
const EPOCHS_KEPT: u64 = 4;

/// How long a session lasts: longer than the test.
const SESSION: Duration = Duration::from_secs(3600);

/// A clock that stands still.
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn unix_millis(&self) -> i64 {
        1_700_000_000_000
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// The states of one subtask. In every epoch something comes and something goes, so that no part is left untouched.
pub(crate) struct Kinds {
    prices: MapState<u64, String, f64>,
    waiting: ListState<u64, i64>,
    sessions: ValueState<u64, i64>,
}

impl Kinds {
    pub(crate) fn open(backend: &mut KeyedStateBackend) -> Self {
        let sessions = StateSpec::new("sessions").with_time_to_live(StateTtl::new(SESSION));
        Self {
            prices: backend.map_state("prices").unwrap(),
            waiting: backend.list_state("waiting").unwrap(),
            sessions: backend.value_state(sessions).unwrap(),
        }
    }

    /// Changes what an epoch touches of the keys of which `owns` says so, given their archives.
    pub(crate) fn change(&self, epoch: u64, owns: impl Fn(&[u8]) -> bool, content: &mut Content) {
        for key in (0..KEYS).filter(|key| owns(&key.to_le_bytes())) {
            self.change_prices(key, epoch, content);
            self.change_waiting(key, epoch, content);
            self.change_session(key, epoch, content);
        }
    }

    fn change_prices(&self, key: u64, epoch: u64, content: &mut Content) {
        let company = |epoch: u64| format!("company of epoch {epoch}");
        let price = (key * 100 + epoch) as f64 / 8.0;
        self.prices.put(&key, &company(epoch), &price).unwrap();
        content.prices.insert((key, company(epoch)), price);
        if let Some(former) = epoch.checked_sub(EPOCHS_KEPT) {
            self.prices.remove(&key, &company(former)).unwrap();
            content.prices.remove(&(key, company(former)));
        }
    }

    fn change_waiting(&self, key: u64, epoch: u64, content: &mut Content) {
        let element = (key * 1_000 + epoch) as i64;
        let waiting = content.waiting.entry(key).or_default();
        self.waiting.add(&key, &element).unwrap();
        waiting.push(element);
        if epoch > EPOCHS_KEPT {
            self.waiting.pop_front(&key).unwrap();
            waiting.remove(0);
        }
    }

    fn change_session(&self, key: u64, epoch: u64, content: &mut Content) {
        if (key + epoch).is_multiple_of(3) {
            self.sessions.remove(&key).unwrap();
            content.sessions.remove(&key);
        } else {
            let session = -((key + epoch) as i64);
            self.sessions.put(&key, &session).unwrap();
            content.sessions.insert(key, session);
        }
    }

    /// Adds what these states hold.
    pub(crate) fn collect(&self, owns: impl Fn(&[u8]) -> bool, content: &mut Content) {
        for key in (0..KEYS).filter(|key| owns(&key.to_le_bytes())) {
            let prices = self.prices.entries(&key).unwrap().into_iter();
            let prices = prices.map(|(company, price)| ((key, company), price));
            content.prices.extend(prices);
            content.waiting.insert(key, self.waiting.get(&key).unwrap());
            let session = self.sessions.get(&key).unwrap();
            content
                .sessions
                .extend(session.map(|session| (key, session)));
        }
    }
}
