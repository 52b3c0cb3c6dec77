//! Damaged pieces: an error that names the state, or a state, and never a crash.

use bytes::Bytes;
use fastrand::Rng;

use super::chain::Chain;
use super::subject::{NAME, Reading, Subject, TestValue, all_groups, open};
use crate::error::ErrorKind;
use crate::state::{EntryState, RestoredPart, ValueState};

/// A chain with a base and several deltas, deletions among them.
fn chain<S: Subject>(random: &mut Rng, folder: &tempfile::TempDir) -> Chain {
    let (mut backend, state) = open::<S>(folder.path(), all_groups(), None).unwrap();
    let mut chain = Chain::default();
    while chain.base.is_none() {
        for _ in 0..20_000 {
            let key = S::random_key(random, 60);
            state.put(&key, &S::Value::random(random)).unwrap();
            state.remove(&S::random_key(random, 60)).unwrap();
        }
        while backend.copy_base_slice(10_000).unwrap() {}
        chain.add(backend.seal().unwrap().remove(0));
    }
    // Of the long deltas that made the base due, what is left is replaced by short ones, to be quick.
    chain.deltas.clear();
    for _ in 0..3 {
        for _ in 0..20 {
            let key = S::random_key(random, 60);
            state.put(&key, &S::Value::random(random)).unwrap();
            state.remove(&S::random_key(random, 60)).unwrap();
        }
        chain.add(backend.seal().unwrap().remove(0));
    }
    chain
}

fn damage(random: &mut Rng, piece: &Bytes) -> Bytes {
    let mut bytes = piece.to_vec();
    match random.u8(..4) {
        0 => bytes.truncate(random.usize(..bytes.len())),
        1 => bytes.extend((0..random.usize(1..50)).map(|_| random.u8(..))),
        2 => {
            // The footer steers everything: it deserves more than its share.
            let at = bytes.len() - 1 - random.usize(..40);
            bytes[at] ^= 1 << random.u8(..8);
        }
        _ => {
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
        }
    }
    bytes.into()
}

fn check<S: Subject>(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Rng::with_seed(seed);
    let chain = chain::<S>(&mut random, &folder);
    let descriptor = chain.descriptor.clone().unwrap();
    let mut refused = 0;
    for round in 0..200 {
        let mut part: RestoredPart = chain.part(all_groups());
        let victim = random.usize(..=part.deltas.len());
        match (&mut part.base, part.deltas.get_mut(victim)) {
            (_, Some(delta)) => *delta = damage(&mut random, delta),
            (Some(base), None) => *base = damage(&mut random, base),
            (None, None) => {}
        }
        match open::<S>(
            folder.path(),
            all_groups(),
            Some((descriptor.clone(), vec![part])),
        ) {
            // Whatever was read can be used.
            Ok((_, state)) => drop(state.records().unwrap()),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Corrupt,
                    "seed {seed} round {round}: {error}"
                );
                assert!(
                    error.to_string().contains(NAME),
                    "seed {seed} round {round}: {error}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "seed {seed}: only {refused} were refused");
}

#[test]
fn damaged_fixed_pieces_are_refused_or_read_and_never_crash() {
    check::<ValueState<u64, i64>>(1);
    check::<EntryState<u64, u64, i64>>(2);
}

#[test]
fn damaged_variable_pieces_are_refused_or_read_and_never_crash() {
    check::<ValueState<String, Reading>>(3);
    check::<EntryState<String, u64, String>>(4);
}

#[test]
fn a_piece_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Rng::with_seed(5);
    let chain = chain::<ValueState<u64, i64>>(&mut random, &folder);
    let part = RestoredPart {
        key_groups: all_groups(),
        base: Some(chain.deltas[0].1.clone()),
        deltas: Vec::new(),
    };
    let restored = Some((chain.descriptor.unwrap(), vec![part]));
    let error = open::<ValueState<u64, i64>>(folder.path(), all_groups(), restored)
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("a Base of Fixed records was expected"),
        "{error}"
    );
}
