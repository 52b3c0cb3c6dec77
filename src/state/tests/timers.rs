//! Random operations on timers and on plain ordered sets, with checkpoints, crashes and restores at other parallelisms.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fastrand::Rng;

use super::chain::Chain;
use super::subject::{MAX_PARALLELISM, Subject, TestKey, all_groups};
use crate::model::{EventTime, KeyGroupRange, SystemClock};
use crate::state::{
    KeyedStateBackend, RecordFormat, RestoredPart, RestoredState, StateSettings, Timers, ValueState,
};

const KEYS: u64 = 60;
const TIMES: i64 = 200;

/// All timers of one domain, in the order in which they come.
type Expected<K> = BTreeSet<(i64, K)>;

/// What a checkpoint holds of one subtask: for each state its parts.
type Held = BTreeMap<String, (Chain, Vec<RestoredPart>)>;

#[derive(Clone, Copy, Debug)]
enum Domain {
    EventTime,
    ProcessingTime,
}

struct Subtask<K: TestKey> {
    key_groups: KeyGroupRange,
    backend: KeyedStateBackend,
    timers: Timers<K>,
    /// What its barriers gave, and what it was restored from.
    held: Held,
}

impl<K: TestKey> Subtask<K> {
    /// A subtask that is restored from all of `before` that has groups of its own.
    fn open(directory: &Path, key_groups: KeyGroupRange, before: &[(KeyGroupRange, Held)]) -> Self {
        let mut held = Held::new();
        let shares =
            |other: &KeyGroupRange| other.start < key_groups.end && key_groups.start < other.end;
        for (_, before) in before.iter().filter(|(groups, _)| shares(groups)) {
            for (name, (chain, parts)) in before {
                let (own, own_parts) = held.entry(name.clone()).or_default();
                own.descriptor = chain.descriptor.clone();
                own_parts.extend(parts.iter().cloned());
            }
        }
        let restored = held.iter().map(|(name, (chain, parts))| RestoredState {
            name: name.clone().into(),
            descriptor: chain.descriptor.clone().unwrap(),
            parts: parts.clone().into(),
        });
        let settings = StateSettings {
            directory: Some(directory.join(format!("{}", key_groups.start))),
            max_parallelism: MAX_PARALLELISM,
            key_groups,
            incremental: true,
            clock: SystemClock::shared(),
            local_recovery: None,
        };
        let mut backend = KeyedStateBackend::new(settings, restored.collect());
        let timers = backend.timers("timers").unwrap();
        assert!(backend.unclaimed().is_empty());
        Self {
            key_groups,
            backend,
            timers,
            held,
        }
    }

    fn barrier(&mut self) {
        for sealed in self.backend.seal().unwrap() {
            let (chain, _) = self.held.entry(sealed.name.to_string()).or_default();
            chain.add(sealed);
        }
    }

    /// What a checkpoint holds of it: what it was restored from, and what came since. No base is ever due here.
    fn held(&self) -> (KeyGroupRange, Held) {
        let own = self.key_groups;
        let narrowed = |part: &RestoredPart| RestoredPart {
            key_groups: KeyGroupRange {
                start: part.key_groups.start.max(own.start),
                end: part.key_groups.end.min(own.end),
            },
            ..part.clone()
        };
        let held = self.held.iter().map(|(name, (chain, older))| {
            // Without those that have no group left here, which would come from several subtasks next time.
            let older = older.iter().map(narrowed);
            let mut parts: Vec<_> = older
                .filter(|part| part.key_groups.start < part.key_groups.end)
                .collect();
            parts.push(chain.part(own));
            (name.clone(), (chain.clone(), parts))
        });
        (own, held.collect())
    }

    fn change(&mut self, domain: Domain, key: &K, time: i64, register: bool) -> bool {
        match (domain, register) {
            (Domain::EventTime, true) => self.timers.register_event_time(key, EventTime(time)),
            (Domain::EventTime, false) => self.timers.delete_event_time(key, EventTime(time)),
            (Domain::ProcessingTime, true) => self.timers.register_processing_time(key, time),
            (Domain::ProcessingTime, false) => self.timers.delete_processing_time(key, time),
        }
        .unwrap()
    }

    fn next(&self, domain: Domain) -> Option<i64> {
        match domain {
            Domain::EventTime => self.timers.next_event_time().map(|time| time.0),
            Domain::ProcessingTime => self.timers.next_processing_time(),
        }
    }

    fn pop_due(&mut self, domain: Domain, now: i64) -> Option<(i64, K)> {
        match domain {
            Domain::EventTime => {
                let due = self.timers.pop_due_event_time(EventTime(now)).unwrap();
                due.map(|(key, time)| (time.0, key))
            }
            Domain::ProcessingTime => {
                let due = self.timers.pop_due_processing_time(now).unwrap();
                due.map(|(key, time)| (time, key))
            }
        }
    }
}

/// The subtasks of a job, and what their timers must be.
struct Model<K: TestKey> {
    random: Rng,
    folder: tempfile::TempDir,
    subtasks: Vec<Subtask<K>>,
    expected: [Expected<K>; 2],
    /// The last checkpoint, and what the timers were then.
    checkpoint: (Vec<(KeyGroupRange, Held)>, [Expected<K>; 2]),
    context: String,
}

impl<K: TestKey> Model<K> {
    fn new(seed: u64) -> Self {
        let mut model = Self {
            random: Rng::with_seed(seed),
            folder: tempfile::tempdir().unwrap(),
            subtasks: Vec::new(),
            expected: Default::default(),
            checkpoint: Default::default(),
            context: format!("seed {seed}"),
        };
        model.restore();
        model
    }

    fn step(&mut self) {
        let domain = [Domain::EventTime, Domain::ProcessingTime][self.random.usize(..2)];
        match self.random.u8(..100) {
            0..60 => self.change(domain, true),
            60..80 => self.change(domain, false),
            80..95 => self.advance(domain),
            95..99 => self.take_checkpoint(),
            _ => self.restore(),
        }
    }

    fn change(&mut self, domain: Domain, register: bool) {
        let key = K::of(self.random.u64(..KEYS));
        let time = self.random.i64(-TIMES..TIMES);
        let group = ValueState::<K, i64>::group(&key);
        let is_owner = |subtask: &&mut Subtask<K>| subtask.key_groups.contains(group);
        let owner = self.subtasks.iter_mut().find(is_owner).unwrap();
        let changed = owner.change(domain, &key, time, register);
        let expected = &mut self.expected[domain as usize];
        let expected = if register {
            expected.insert((time, key))
        } else {
            expected.remove(&(time, key))
        };
        assert_eq!(changed, expected, "{} {domain:?} {time}", self.context);
    }

    /// Takes out what is due at some time: all of it, in order.
    fn advance(&mut self, domain: Domain) {
        let now = self.random.i64(-TIMES..TIMES / 2);
        for subtask in &mut self.subtasks {
            let own = subtask.key_groups;
            let is_own = |(_, key): &(i64, K)| own.contains(ValueState::<K, i64>::group(key));
            let due = |timer: &(i64, K)| timer.0 <= now && is_own(timer);
            let expected = self.expected[domain as usize].extract_if(.., due);
            let expected: Vec<_> = expected.collect();
            let mut found = Vec::new();
            while let Some(timer) = subtask.pop_due(domain, now) {
                found.push(timer);
            }
            assert_eq!(found, expected, "{} {domain:?} at {now}", self.context);
            let rest = self.expected[domain as usize].iter();
            let next = rest
                .filter(|timer| is_own(timer))
                .map(|(time, _)| *time)
                .next();
            assert_eq!(subtask.next(domain), next, "{} {domain:?}", self.context);
        }
    }

    fn take_checkpoint(&mut self) {
        for subtask in &mut self.subtasks {
            subtask.barrier();
        }
        let held = self.subtasks.iter().map(Subtask::held).collect();
        self.checkpoint = (held, self.expected.clone());
    }

    /// Goes on from the last checkpoint, at any parallelism.
    fn restore(&mut self) {
        let parallelism = self.random.usize(1..=5);
        let (held, expected) = &self.checkpoint;
        self.subtasks.clear();
        self.subtasks = (0..parallelism)
            .map(|index| {
                let own = KeyGroupRange::of_subtask(index, parallelism, MAX_PARALLELISM);
                Subtask::open(self.folder.path(), own, held)
            })
            .collect();
        self.expected = expected.clone();
    }
}

fn check<K: TestKey>(seed: u64) {
    let mut model = Model::<K>::new(seed);
    for _ in 0..1_000 {
        model.step();
    }
    for domain in [Domain::EventTime, Domain::ProcessingTime] {
        assert!(!model.expected[domain as usize].is_empty(), "seed {seed}");
    }
}

#[test]
fn timers_equal_ordered_sets_after_every_crash_and_restore() {
    for seed in 0..4 {
        check::<u64>(seed);
        check::<String>(seed + 100);
    }
}

#[test]
fn a_timer_of_a_number_takes_a_fixed_record_without_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let mut subtask = Subtask::<u64>::open(folder.path(), all_groups(), &[]);
    for sealed in subtask.backend.seal().unwrap() {
        let format = sealed.descriptor.record_format;
        assert_eq!(format, RecordFormat::Fixed, "{}", sealed.name);
    }
}

#[test]
fn timers_of_one_name_are_registered_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut subtask = Subtask::<u64>::open(folder.path(), all_groups(), &[]);
    let error = subtask.backend.timers::<u64>("timers").err().unwrap();
    let message = error.to_string();
    assert!(
        message.contains("\"timers.event_time\" is registered twice"),
        "{message}"
    );
}
