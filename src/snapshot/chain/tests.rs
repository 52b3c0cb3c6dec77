//! Tables, and a model that decodes what the chain says a snapshot is made of.

use std::collections::BTreeMap;

use super::*;
use crate::model::{CheckpointId, SubtaskId};
use crate::snapshot::test_support::{key_groups, sealed_state};
use crate::storage::{Checksum, ObjectKind, ObjectName};

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 64 };

fn piece(number: u64) -> Piece {
    let subtask = SubtaskId::new("sum".into(), 0);
    Piece {
        object: ObjectName::new(CheckpointId(number), &subtask, 1, 0, ObjectKind::Delta),
        offset: 0,
        length: 1,
        checksum: Checksum(number),
    }
}

fn part(range: KeyGroupRange, base: Option<u64>, deltas: &[u64]) -> Part {
    Part {
        key_groups: range,
        base: base.map(piece),
        deltas: deltas.iter().copied().map(piece).collect(),
    }
}

/// What happens to a chain: a barrier seals a delta and perhaps a base with this first epoch, or an upload becomes
/// durable as the piece of this number.
enum Event {
    Sealed(u64, Option<u64>),
    /// A base of all there is, and no delta.
    SealedAll(u64),
    SealedNothing(u64),
    Delta(u64, u64),
    Base(u64, u64),
    Release(u64),
}
use Event::{Base, Delta, Release, Sealed, SealedAll, SealedNothing};

fn run(inherited: &[Part], events: &[Event]) -> StateChain {
    let mut chain = StateChain::new(RANGE, inherited);
    for event in events {
        match *event {
            Sealed(epoch, base) => {
                let base = base.map(|first_epoch| (first_epoch, "base"));
                chain
                    .sealed(&sealed_state("total", epoch, "delta", base), None)
                    .unwrap();
            }
            SealedAll(epoch) => chain
                .sealed(
                    &sealed_state("total", epoch, "", Some((epoch, "all"))),
                    None,
                )
                .unwrap(),
            SealedNothing(epoch) => chain
                .sealed(&sealed_state("total", epoch, "", None), None)
                .unwrap(),
            Delta(epoch, number) => chain.uploaded(UploadId::Delta(Epoch(epoch)), piece(number)),
            Base(epoch, number) => chain.uploaded(UploadId::Base(Epoch(epoch)), piece(number)),
            Release(epoch) => chain.release_before(Epoch(epoch)),
        }
    }
    chain
}

fn check(inherited: &[Part], events: &[Event], epoch: u64, expected: Option<Vec<Part>>) {
    assert_eq!(run(inherited, events).parts(Epoch(epoch)), expected);
}

#[test]
fn a_snapshot_has_no_parts_until_all_its_deltas_are_durable() {
    let sealed = [Sealed(1, None), Sealed(2, None), Delta(2, 22)];
    check(&[], &sealed, 2, None);
    let durable = [Sealed(1, None), Sealed(2, None), Delta(2, 22), Delta(1, 21)];
    check(&[], &durable, 1, Some(vec![part(RANGE, None, &[21])]));
    check(&[], &durable, 2, Some(vec![part(RANGE, None, &[21, 22])]));
    // The barrier of epoch 3 has not come.
    check(&[], &durable, 3, None);
}

#[test]
fn an_untouched_state_needs_no_object() {
    let chain = run(&[], &[SealedNothing(1), SealedNothing(2)]);
    assert!(chain.uploads().is_empty());
    assert_eq!(chain.parts(Epoch(2)), Some(vec![]));
}

#[test]
fn what_was_not_uploaded_is_to_be_uploaded_with_the_next_checkpoint() {
    let chain = run(
        &[],
        &[
            Sealed(1, None),
            Sealed(2, Some(1)),
            Delta(2, 22),
            Sealed(3, None),
        ],
    );
    let ids: Vec<UploadId> = chain.uploads().iter().map(|upload| upload.id).collect();
    assert_eq!(
        ids,
        [
            UploadId::Delta(Epoch(1)),
            UploadId::Delta(Epoch(3)),
            UploadId::Base(Epoch(2))
        ]
    );
}

#[test]
fn a_durable_base_stands_for_everything_before_its_first_epoch() {
    let inherited = [part(RANGE, Some(1), &[2])];
    let events = [
        Sealed(1, None),
        Delta(1, 21),
        Sealed(2, None),
        Delta(2, 22),
        Sealed(3, Some(2)),
        Delta(3, 23),
        Base(3, 33),
        Sealed(4, None),
        Delta(4, 24),
    ];
    let with_base = Some(vec![part(RANGE, Some(33), &[22, 23, 24])]);
    check(&inherited, &events, 4, with_base.clone());
    // At an earlier barrier the base was not yet whole.
    let without = Some(vec![part(RANGE, Some(1), &[2, 21, 22])]);
    check(&inherited, &events, 2, without);
    // Once released, the earlier barrier is gone, the later one unchanged.
    let mut chain = run(&inherited, &events);
    chain.release_before(Epoch(3));
    assert_eq!(chain.parts(Epoch(2)), None);
    assert_eq!(chain.parts(Epoch(4)), with_base);
}

#[test]
fn until_a_base_is_durable_the_pieces_before_it_count() {
    let inherited = [part(RANGE, Some(1), &[])];
    let events = [
        Sealed(1, None),
        Delta(1, 21),
        Sealed(2, Some(1)),
        Delta(2, 22),
        Release(2),
    ];
    let expected = Some(vec![part(RANGE, Some(1), &[21, 22])]);
    check(&inherited, &events, 2, expected);
}

#[test]
fn a_base_that_never_got_through_is_dropped_for_a_newer_one() {
    let chain = run(&[], &[Sealed(1, Some(1)), Sealed(2, Some(2))]);
    let bases = chain.uploads();
    let bases: Vec<UploadId> = bases
        .iter()
        .map(|upload| upload.id)
        .filter(|id| matches!(id, UploadId::Base(_)))
        .collect();
    assert_eq!(bases, [UploadId::Base(Epoch(2))]);
    // Its late arrival changes nothing.
    check(
        &[],
        &[
            Sealed(1, Some(1)),
            Sealed(2, Some(2)),
            Base(1, 31),
            Delta(1, 21),
            Delta(2, 22),
        ],
        2,
        Some(vec![part(RANGE, None, &[21, 22])]),
    );
}

#[test]
fn a_base_of_all_there_is_that_never_got_through_leaves_no_hole_behind_a_newer_base() {
    let events = [
        Sealed(1, None),
        Delta(1, 21),
        SealedAll(2),
        Sealed(3, None),
        Delta(3, 23),
        Sealed(4, Some(3)),
        Delta(4, 24),
    ];
    // Nothing that is durable says what the second epoch has changed.
    let chain = run(&[], &events);
    for epoch in 2..=4 {
        assert_eq!(chain.parts(Epoch(epoch)), None, "{epoch}");
    }
    assert!(chain.lacks_base_at_last_barrier());
    let mut chain = run(&[], &events);
    chain.uploaded(UploadId::Base(Epoch(4)), piece(34));
    let expected = vec![part(RANGE, Some(34), &[23, 24])];
    assert_eq!(chain.parts(Epoch(4)), Some(expected));
    assert!(!chain.lacks_base_at_last_barrier());
}

#[test]
fn inherited_parts_are_narrowed_and_come_first() {
    let inherited = [
        part(key_groups(0, 128), Some(1), &[2]),
        part(key_groups(32, 128), None, &[3]),
        part(key_groups(64, 128), Some(4), &[]),
    ];
    let events = [Sealed(1, None), Delta(1, 21)];
    let expected = vec![
        part(RANGE, Some(1), &[2]),
        part(key_groups(32, 64), None, &[3]),
        part(RANGE, None, &[21]),
    ];
    check(&inherited, &events, 1, Some(expected));
}

#[test]
fn an_epoch_out_of_order_is_a_bug() {
    let mut chain = run(&[], &[Sealed(2, None)]);
    for epoch in [1, 2] {
        let error = chain
            .sealed(&sealed_state("total", epoch, "", None), None)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Bug);
    }
}

type Records = BTreeMap<u64, u64>;

/// One subtask whose barriers seal random deltas and fuzzy bases, whose uploads fail at random, and which restarts
/// from its own parts at random.
struct Model {
    rng: fastrand::Rng,
    live: Records,
    delta: Records,
    base: Option<(u64, Vec<u64>, Records)>,
    epoch: u64,
    chain: StateChain,
    /// What each piece holds, by its checksum.
    stored: BTreeMap<u64, Records>,
    /// What each upload holds.
    bytes: BTreeMap<UploadId, Records>,
    /// The state at each barrier of this run.
    expected: BTreeMap<u64, Records>,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            live: Records::new(),
            delta: Records::new(),
            base: None,
            epoch: 1,
            chain: StateChain::new(RANGE, &[]),
            stored: BTreeMap::new(),
            bytes: BTreeMap::new(),
            expected: BTreeMap::new(),
        }
    }

    fn touch(&mut self) {
        let (key, value) = (self.rng.u64(0..20), self.rng.u64(..));
        self.live.insert(key, value);
        self.delta.insert(key, value);
    }

    /// Copies a few of the keys that are still to copy, as they are at this moment.
    fn copy_slice(&mut self) {
        let epoch = self.epoch;
        let (_, keys, records) = self
            .base
            .get_or_insert_with(|| (epoch, (0..20).collect(), Records::new()));
        for key in keys.drain(..keys.len().min(7)) {
            if let Some(value) = self.live.get(&key) {
                records.insert(key, *value);
            }
        }
    }

    /// The barrier gives all there is, and no delta.
    fn seal_all(&mut self) {
        self.delta.clear();
        self.base = Some((self.epoch, Vec::new(), self.live.clone()));
        self.seal();
    }

    fn seal(&mut self) {
        let base = self.base.take_if(|(_, keys, _)| keys.is_empty());
        let sealed = sealed_state(
            "total",
            self.epoch,
            if self.delta.is_empty() { "" } else { "delta" },
            base.as_ref()
                .map(|(first_epoch, _, _)| (*first_epoch, "base")),
        );
        let epoch = Epoch(self.epoch);
        let delta = std::mem::take(&mut self.delta);
        self.bytes.insert(UploadId::Delta(epoch), delta);
        if let Some((_, _, records)) = base {
            self.bytes.insert(UploadId::Base(epoch), records);
        }
        self.expected.insert(self.epoch, self.live.clone());
        self.chain.sealed(&sealed, None).unwrap();
        self.epoch += 1;
    }

    fn upload_some(&mut self) {
        for upload in self.chain.uploads() {
            if self.rng.u8(..) < 160 {
                let number = self.stored.len() as u64;
                self.stored.insert(number, self.bytes[&upload.id].clone());
                self.chain.uploaded(upload.id, piece(number));
            }
        }
    }

    fn decode(&self, parts: &[Part]) -> Records {
        let mut records = Records::new();
        for piece in parts.iter().flat_map(Part::pieces) {
            records.extend(&self.stored[&piece.checksum.0]);
        }
        records
    }

    fn restart(&mut self, parts: &[Part], state: Records) {
        self.live = state;
        self.delta.clear();
        self.base = None;
        self.epoch = 1;
        self.chain = StateChain::new(RANGE, parts);
        self.bytes.clear();
        self.expected.clear();
    }
}

#[test]
fn parts_always_give_exactly_the_state_at_their_barrier() {
    let (mut answered, mut restarted) = (0, 0);
    for seed in 0..300 {
        let mut model = Model::new(seed);
        for _ in 0..60 {
            match model.rng.u8(0..8) {
                0..=3 => model.touch(),
                4 => model.copy_slice(),
                5 => model.upload_some(),
                6 if model.rng.u8(0..4) == 0 && !model.live.is_empty() => model.seal_all(),
                6 => model.seal(),
                _ => {
                    let expected: Vec<_> = model.expected.clone().into_iter().collect();
                    if expected.is_empty() {
                        continue;
                    }
                    let (epoch, state) = model.rng.choice(expected).unwrap();
                    let Some(parts) = model.chain.parts(Epoch(epoch)) else {
                        continue;
                    };
                    assert_eq!(model.decode(&parts), state, "seed {seed}, epoch {epoch}");
                    answered += 1;
                    match model.rng.u8(0..4) {
                        0 => {
                            model.restart(&parts, state);
                            restarted += 1;
                        }
                        1 => model.chain.release_before(Epoch(epoch)),
                        _ => {}
                    }
                }
            }
        }
    }
    assert!(answered > 300 && restarted > 50, "{answered} {restarted}");
}
