//! Random operations, barriers and restores at random parallelisms, against plain lists and maps.

use std::collections::BTreeMap;

use super::support::{backends, restored};
use crate::state::{BroadcastState, OperatorListState, OperatorStateBackend, SealedOperatorState};

const STEPS: usize = 300;
const PARALLELISM_MAX: usize = 5;

/// A value of varying size.
type Text = (u32, String);

/// One subtask as it ought to be.
#[derive(Clone, Default)]
struct Model {
    list: Vec<Text>,
    union: Vec<u64>,
    map: BTreeMap<String, Text>,
}

/// One subtask as it is.
struct Subject {
    backend: OperatorStateBackend,
    list: OperatorListState<Text>,
    union: OperatorListState<u64>,
    map: BroadcastState<String, Text>,
}

/// All subtasks of an operator, both ways.
struct Pair {
    models: Vec<Model>,
    subjects: Vec<Subject>,
}

/// What a checkpoint holds, both ways.
struct Checkpoint {
    models: Vec<Model>,
    sealed: Vec<Vec<SealedOperatorState>>,
}

#[test]
fn whatever_is_done_a_restore_gives_what_was_there_at_the_barrier() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let nothing = Checkpoint {
            models: vec![Model::default()],
            sealed: vec![Vec::new()],
        };
        let mut checkpoints = vec![nothing];
        let mut pair = Pair::restore(&checkpoints[0], random.usize(1..=PARALLELISM_MAX));
        for _ in 0..STEPS {
            match random.u8(0..20) {
                0 => {
                    let checkpoint = pair.seal();
                    // One that is aborted leaves nothing behind.
                    if random.u8(0..3) > 0 {
                        checkpoints.push(checkpoint);
                    }
                }
                // From any checkpoint that is retained, at the same parallelism or another.
                1 => {
                    let checkpoint = &checkpoints[random.usize(..checkpoints.len())];
                    let parallelism = match random.bool() {
                        true => checkpoint.models.len(),
                        false => random.usize(1..=PARALLELISM_MAX),
                    };
                    pair = Pair::restore(checkpoint, parallelism);
                }
                _ => pair.change(&mut random),
            }
            pair.compare(seed);
        }
    }
}

impl Pair {
    fn restore(checkpoint: &Checkpoint, parallelism: usize) -> Self {
        let former = &checkpoint.models;
        let dealt: Vec<&Text> = former.iter().flat_map(|model| &model.list).collect();
        let models = (0..parallelism).map(|subtask| Model {
            list: match parallelism == former.len() {
                true => former[subtask].list.clone(),
                false => dealt
                    .iter()
                    .skip(subtask)
                    .step_by(parallelism)
                    .copied()
                    .cloned()
                    .collect(),
            },
            union: former
                .iter()
                .flat_map(|model| model.union.clone())
                .collect(),
            map: former[subtask % former.len()].map.clone(),
        });
        let restored = restored(&checkpoint.sealed);
        let subjects = backends(parallelism, &restored)
            .into_iter()
            .map(|mut backend| Subject {
                list: backend.list_state("list").unwrap(),
                union: backend.union_list_state("union").unwrap(),
                map: backend.broadcast_state("map").unwrap(),
                backend,
            });
        Self {
            models: models.collect(),
            subjects: subjects.collect(),
        }
    }

    fn seal(&self) -> Checkpoint {
        let seal = |subject: &Subject| subject.backend.seal().unwrap();
        Checkpoint {
            models: self.models.clone(),
            sealed: self.subjects.iter().map(seal).collect(),
        }
    }

    fn change(&mut self, random: &mut fastrand::Rng) {
        let index = random.usize(..self.models.len());
        let (model, subject) = (&mut self.models[index], &self.subjects[index]);
        let text = (random.u32(..), "x".repeat(random.usize(..30)));
        match random.u8(0..9) {
            0..=2 => {
                model.list.push(text.clone());
                subject.list.add(text).unwrap();
            }
            3 => {
                model.list = vec![text; random.usize(..4)];
                subject.list.update(model.list.clone()).unwrap();
            }
            4 => {
                // A union list grows with every restore unless somebody shortens it.
                model.union = vec![random.u64(..)];
                subject.union.update(model.union.clone()).unwrap();
            }
            5 if random.u8(0..4) == 0 => {
                model.list.clear();
                subject.list.clear().unwrap();
            }
            5 | 6 => {
                let key = random.u8(0..9).to_string();
                assert_eq!(subject.map.remove(&key).unwrap(), model.map.remove(&key));
            }
            _ => {
                let key = random.u8(0..9).to_string();
                model.map.insert(key.clone(), text.clone());
                subject.map.put(key, text).unwrap();
            }
        }
    }

    fn compare(&self, seed: u64) {
        for (subtask, (model, subject)) in self.models.iter().zip(&self.subjects).enumerate() {
            let place = format!("seed {seed}, subtask {subtask}");
            assert_eq!(*subject.list.get(), model.list[..], "{place}");
            assert_eq!(*subject.union.get(), model.union[..], "{place}");
            assert_eq!(*subject.map.entries(), model.map, "{place}");
            for (key, text) in &model.map {
                assert_eq!(subject.map.get(key).as_deref(), Some(text), "{place}");
            }
        }
    }
}
