//! What was asked for and takes a while: each request has an id, by which its outcome can be asked for later.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde_json::Value;

use super::settings::{TRIGGERS_KEPT_MAX, TRIGGERS_PENDING_MAX};
use crate::model::hash_key;

/// The longest id that a client may choose.
const ID_LENGTH_MAX: usize = 64;

/// The id of a request: 32 hexadecimal digits, unless the client has chosen one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TriggerId(String);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TriggerKind {
    /// A checkpoint.
    Checkpoint,
    /// A savepoint, with or without a stop.
    Savepoint,
    /// The removal of a savepoint.
    Disposal,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TriggerState {
    /// It is not yet decided.
    InProgress,
    /// It is done, with this outcome.
    Done(Value),
    /// It failed, for this reason.
    Failed(String),
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TriggerRefusal {
    /// Too many are under way.
    TooMany,
    /// The id that the client has chosen is too long or holds something else than letters, digits, `-` and `_`.
    BadId,
}

/// The requests of one server: those under way, and the outcomes of the last ones.
#[derive(Debug)]
pub(super) struct TriggerRegistry {
    /// What no other process has, so that ids of several runs of a job are told apart.
    nonce: u64,
    made: u64,
    entries: BTreeMap<TriggerId, (TriggerKind, TriggerState)>,
    /// Those that are decided, oldest first.
    decided: VecDeque<TriggerId>,
}

impl TriggerRegistry {
    pub(super) fn new(nonce: u64) -> Self {
        Self {
            nonce,
            made: 0,
            entries: BTreeMap::new(),
            decided: VecDeque::new(),
        }
    }

    /// Notes a request. With an id that is known already nothing new is to be begun: `false`.
    pub(super) fn begin(
        &mut self,
        kind: TriggerKind,
        chosen: Option<&str>,
    ) -> Result<(TriggerId, bool), TriggerRefusal> {
        let id = match chosen {
            Some(chosen) => TriggerId::parse(chosen).ok_or(TriggerRefusal::BadId)?,
            None => self.next_id(),
        };
        if let Some((known, _)) = self.entries.get(&id) {
            // An id stands for one request: it cannot be used for one of another kind.
            return match *known == kind {
                true => Ok((id, false)),
                false => Err(TriggerRefusal::BadId),
            };
        }
        let pending = self.entries.len() - self.decided.len();
        if pending >= TRIGGERS_PENDING_MAX {
            return Err(TriggerRefusal::TooMany);
        }
        self.entries
            .insert(id.clone(), (kind, TriggerState::InProgress));
        Ok((id, true))
    }

    /// Notes the outcome of a request; the oldest outcome goes when there are too many.
    pub(super) fn decide(&mut self, id: &TriggerId, outcome: Result<Value, String>) {
        if let Some((_, state @ TriggerState::InProgress)) = self.entries.get_mut(id) {
            *state = match outcome {
                Ok(value) => TriggerState::Done(value),
                Err(reason) => TriggerState::Failed(reason),
            };
            self.decided.push_back(id.clone());
        }
        if self.decided.len() > TRIGGERS_KEPT_MAX
            && let Some(oldest) = self.decided.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// How far a request of this kind is; nothing when it is not known, or not any more.
    pub(super) fn state(&self, kind: TriggerKind, id: &str) -> Option<&TriggerState> {
        let (known, state) = self.entries.get(&TriggerId::parse(id)?)?;
        (*known == kind).then_some(state)
    }

    fn next_id(&mut self) -> TriggerId {
        self.made += 1;
        let half = |half: &str| hash_key(format!("{half} {} {}", self.nonce, self.made).as_bytes());
        TriggerId(format!("{:016x}{:016x}", half("high"), half("low")))
    }
}

impl TriggerId {
    fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_good = (1..=ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed);
        is_good.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TriggerRefusal {
    /// What the client is told.
    pub(super) fn message(self) -> String {
        match self {
            Self::TooMany => format!(
                "{TRIGGERS_PENDING_MAX} requests are under way: wait until one of them is done"
            ),
            Self::BadId => format!(
                "triggerId must be 1 to {ID_LENGTH_MAX} letters, digits, - or _, and not stand for a request of another \
                 kind"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: TriggerKind = TriggerKind::Savepoint;

    #[test]
    fn a_request_is_followed_to_its_outcome() {
        let mut registry = TriggerRegistry::new(7);
        let (first, is_new) = registry.begin(KIND, None).unwrap();
        assert!(is_new);
        let (second, _) = registry.begin(KIND, None).unwrap();
        assert_ne!(first, second);
        let state = |registry: &TriggerRegistry, id: &str| registry.state(KIND, id).cloned();
        assert_eq!(
            state(&registry, &first.to_string()),
            Some(TriggerState::InProgress)
        );
        registry.decide(&first, Ok(Value::from(17)));
        registry.decide(&first, Err("too late".to_owned()));
        registry.decide(&second, Err("no room".to_owned()));
        assert_eq!(
            state(&registry, &first.to_string()),
            Some(TriggerState::Done(Value::from(17)))
        );
        assert_eq!(
            state(&registry, &second.to_string()),
            Some(TriggerState::Failed("no room".to_owned()))
        );
        assert_eq!(state(&registry, "unknown"), None);
        assert_eq!(
            registry.state(TriggerKind::Checkpoint, &first.to_string()),
            None
        );
        let other_process = TriggerRegistry::new(8).begin(KIND, None).unwrap().0;
        assert_ne!(other_process, first);
    }

    #[test]
    fn an_id_that_the_client_chose_begins_one_request_however_often_it_is_sent() {
        let mut registry = TriggerRegistry::new(7);
        let begin = |registry: &mut TriggerRegistry, id: &str| {
            registry.begin(KIND, Some(id)).map(|(_, is_new)| is_new)
        };
        assert_eq!(begin(&mut registry, "my-request"), Ok(true));
        assert_eq!(begin(&mut registry, "my-request"), Ok(false));
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(
                begin(&mut registry, bad),
                Err(TriggerRefusal::BadId),
                "{bad}"
            );
        }
        let other = registry.begin(TriggerKind::Disposal, Some("my-request"));
        assert_eq!(other, Err(TriggerRefusal::BadId));
    }

    #[test]
    fn what_is_under_way_and_what_is_kept_has_a_bound() {
        let mut registry = TriggerRegistry::new(7);
        let ids: Vec<TriggerId> = (0..TRIGGERS_PENDING_MAX)
            .map(|_| registry.begin(KIND, None).unwrap().0)
            .collect();
        assert_eq!(registry.begin(KIND, None), Err(TriggerRefusal::TooMany));
        registry.decide(&ids[0], Ok(Value::Null));
        let mut last = registry.begin(KIND, None).unwrap().0;
        for _ in 0..TRIGGERS_KEPT_MAX {
            registry.decide(&last, Ok(Value::Null));
            last = registry.begin(KIND, None).unwrap().0;
        }
        assert_eq!(
            registry.state(KIND, &ids[0].to_string()),
            None,
            "the oldest is gone"
        );
        assert_eq!(
            registry.state(KIND, &ids[1].to_string()),
            Some(&TriggerState::InProgress)
        );
        assert_eq!(
            registry.entries.len(),
            TRIGGERS_PENDING_MAX + TRIGGERS_KEPT_MAX
        );
    }
}
