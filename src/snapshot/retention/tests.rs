//! Tables, and random histories in which nothing that is referred to may be deleted.

use super::*;

fn object(number: u64) -> ObjectName {
    ObjectName::from_file_name(&format!("{number}-sum-0-1-0.delta")).unwrap()
}

fn objects(numbers: &[u64]) -> BTreeSet<ObjectName> {
    numbers.iter().copied().map(object).collect()
}

fn subtask(index: usize) -> SubtaskId {
    SubtaskId::new("sum".into(), index)
}

fn found(checkpoint: u64, usable: bool, numbers: &[u64]) -> FoundCheckpoint {
    FoundCheckpoint {
        checkpoint: CheckpointId(checkpoint),
        usable,
        objects: objects(numbers),
    }
}

/// One subtask's checkpoint that is acknowledged and completed.
fn complete(retention: &mut Retention, checkpoint: u64, numbers: &[u64]) -> Removal {
    let checkpoint = CheckpointId(checkpoint);
    retention.acknowledged(checkpoint, subtask(0), objects(numbers));
    retention.completed(checkpoint, objects(numbers))
}

fn removal(checkpoints: &[u64], numbers: &[u64]) -> Removal {
    Removal {
        checkpoints: checkpoints.iter().copied().map(CheckpointId).collect(),
        objects: objects(numbers).into_iter().collect(),
    }
}

#[test]
fn the_last_few_are_kept_and_an_object_lives_as_long_as_its_last_checkpoint() {
    let mut retention = Retention::new(2, []);
    assert_eq!(complete(&mut retention, 1, &[1]), removal(&[], &[]));
    assert_eq!(complete(&mut retention, 2, &[1, 2]), removal(&[], &[]));
    assert_eq!(complete(&mut retention, 3, &[1, 2, 3]), removal(&[1], &[]));
    // A base: the deltas go when the last checkpoint that needs them goes.
    assert_eq!(complete(&mut retention, 4, &[4]), removal(&[2], &[]));
    assert_eq!(
        complete(&mut retention, 5, &[4, 5]),
        removal(&[3], &[1, 2, 3])
    );
    let retained: Vec<CheckpointId> = retention.retained().collect();
    assert_eq!(retained, [CheckpointId(4), CheckpointId(5)]);
}

#[test]
fn what_an_aborted_checkpoint_stored_stays_while_a_chain_needs_it() {
    let mut retention = Retention::new(1, []);
    assert_eq!(complete(&mut retention, 1, &[1]), removal(&[], &[]));
    retention.acknowledged(CheckpointId(2), subtask(0), objects(&[1, 2]));
    retention.aborted(CheckpointId(2));
    assert_eq!(
        complete(&mut retention, 3, &[1, 2, 3]),
        removal(&[1, 2], &[])
    );
    // A late acknowledgement of an aborted checkpoint tells what the chain refers to.
    retention.aborted(CheckpointId(4));
    retention.acknowledged(CheckpointId(4), subtask(0), objects(&[1, 2, 3, 4]));
    assert_eq!(
        complete(&mut retention, 5, &[5]),
        removal(&[3, 4], &[1, 2, 3, 4])
    );
}

#[test]
fn what_a_finished_subtask_had_stored_goes_with_the_last_checkpoint_that_needs_it() {
    let mut retention = Retention::new(1, []);
    retention.acknowledged(CheckpointId(1), subtask(1), objects(&[10]));
    retention.acknowledged(CheckpointId(1), subtask(0), objects(&[1]));
    let all = objects(&[1, 10]);
    assert!(retention.completed(CheckpointId(1), all).is_empty());
    retention.left(&subtask(1));
    assert_eq!(complete(&mut retention, 2, &[1]), removal(&[1], &[10]));
}

#[test]
fn a_checkpoint_in_progress_holds_what_was_acknowledged_for_it() {
    let mut retention = Retention::new(1, []);
    let both = [subtask(0), subtask(1)];
    retention.acknowledged(CheckpointId(1), both[0].clone(), objects(&[1]));
    retention.acknowledged(CheckpointId(2), both[0].clone(), objects(&[2]));
    retention.acknowledged(CheckpointId(1), both[1].clone(), objects(&[11]));
    let removed = retention.completed(CheckpointId(1), objects(&[1, 11]));
    assert_eq!(removed, removal(&[], &[]));
    retention.acknowledged(CheckpointId(2), both[1].clone(), objects(&[12]));
    let removed = retention.completed(CheckpointId(2), objects(&[2, 12]));
    assert_eq!(removed, removal(&[1], &[1, 11]));
}

#[test]
fn damaged_checkpoints_do_not_count_and_go_when_enough_newer_ones_are_there() {
    let on_disk = [
        found(7, true, &[1]),
        found(8, false, &[1, 2]),
        found(9, false, &[]),
    ];
    let mut retention = Retention::new(2, on_disk);
    assert_eq!(complete(&mut retention, 10, &[1, 3]), removal(&[], &[]));
    assert_eq!(
        complete(&mut retention, 11, &[1, 3]),
        removal(&[7, 8, 9], &[2])
    );
}

/// A checkpoint that its subtasks are working on, even when it was aborted in the meantime.
struct Triggered {
    aborted: bool,
    acknowledged: Vec<Option<BTreeSet<ObjectName>>>,
}

impl Triggered {
    fn is_acknowledged(&self) -> bool {
        self.acknowledged.iter().all(Option::is_some)
    }
}

/// A job whose subtasks extend, rebase and report their chains in random order, with random aborts and restarts.
struct History {
    rng: fastrand::Rng,
    retention: Retention,
    chains: Vec<BTreeSet<ObjectName>>,
    on_disk: BTreeMap<CheckpointId, BTreeSet<ObjectName>>,
    triggered: BTreeMap<CheckpointId, Triggered>,
    deleted: BTreeSet<ObjectName>,
    next_checkpoint: u64,
    next_object: u64,
    retained_max: usize,
}

impl History {
    const SUBTASKS: usize = 3;

    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let retained_max = rng.usize(1..4);
        Self {
            rng,
            retention: Retention::new(retained_max, []),
            chains: vec![BTreeSet::new(); Self::SUBTASKS],
            on_disk: BTreeMap::new(),
            triggered: BTreeMap::new(),
            deleted: BTreeSet::new(),
            next_checkpoint: 1,
            next_object: 1,
            retained_max,
        }
    }

    fn trigger(&mut self) {
        let id = CheckpointId(self.next_checkpoint);
        self.next_checkpoint += 1;
        let triggered = Triggered {
            aborted: false,
            acknowledged: vec![None; Self::SUBTASKS],
        };
        self.triggered.insert(id, triggered);
    }

    /// A random subtask acknowledges the oldest checkpoint that it has not yet; it may come too late.
    fn acknowledge(&mut self) {
        let index = self.rng.usize(0..Self::SUBTASKS);
        let open = self
            .triggered
            .iter_mut()
            .find(|(_, triggered)| triggered.acknowledged[index].is_none());
        let Some((id, triggered)) = open else {
            return;
        };
        let chain = &mut self.chains[index];
        if self.rng.u8(0..5) == 0 {
            chain.clear();
        }
        chain.insert(object(self.next_object));
        self.next_object += 1;
        triggered.acknowledged[index] = Some(chain.clone());
        self.retention
            .acknowledged(*id, subtask(index), chain.clone());
    }

    fn abort(&mut self) {
        let mut newest_first = self.triggered.iter_mut().rev();
        if let Some((id, triggered)) = newest_first.find(|(_, triggered)| !triggered.aborted) {
            triggered.aborted = true;
            self.retention.aborted(*id);
        }
    }

    fn complete(&mut self) {
        self.triggered
            .retain(|_, triggered| !triggered.aborted || !triggered.is_acknowledged());
        let complete: Vec<CheckpointId> = self
            .triggered
            .iter()
            .filter(|(_, triggered)| !triggered.aborted && triggered.is_acknowledged())
            .map(|(id, _)| *id)
            .collect();
        // Manifests can become durable in another order than that of the checkpoints.
        let complete = self.rng.choice(complete);
        let Some(id) = complete else {
            return;
        };
        let acknowledged = self.triggered.remove(&id).unwrap().acknowledged;
        let objects: BTreeSet<ObjectName> = acknowledged.into_iter().flatten().flatten().collect();
        self.on_disk.insert(id, objects.clone());
        let removal = self.retention.completed(id, objects);
        for checkpoint in &removal.checkpoints {
            self.on_disk.remove(checkpoint);
        }
        self.deleted.extend(removal.objects);
    }

    /// The process dies: chains and running checkpoints are gone, the chains start anew from the newest checkpoint.
    fn restart(&mut self) {
        self.triggered.clear();
        let found = self.on_disk.iter().map(|(id, objects)| FoundCheckpoint {
            checkpoint: *id,
            usable: true,
            objects: objects.clone(),
        });
        self.retention = Retention::new(self.retained_max, found.collect::<Vec<_>>());
        let newest = self
            .on_disk
            .values()
            .next_back()
            .cloned()
            .unwrap_or_default();
        self.chains.fill(newest);
    }

    fn check(&self, seed: u64) {
        let pending = self
            .triggered
            .values()
            .filter(|triggered| !triggered.aborted);
        let pending = pending.flat_map(|triggered| triggered.acknowledged.iter().flatten());
        let needed = self.on_disk.values().chain(&self.chains).chain(pending);
        for object in needed.flatten() {
            assert!(!self.deleted.contains(object), "seed {seed}: {object}");
        }
        let retained: Vec<CheckpointId> = self.retention.retained().collect();
        let on_disk: Vec<CheckpointId> = self.on_disk.keys().copied().collect();
        assert_eq!(retained, on_disk, "seed {seed}");
        assert!(retained.len() <= self.retained_max, "seed {seed}");
    }
}

#[test]
fn nothing_referred_to_is_ever_deleted_in_random_histories() {
    let (mut deleted, mut written) = (0, 0);
    for seed in 0..200 {
        let mut history = History::new(seed);
        for _ in 0..300 {
            match history.rng.u8(0..32) {
                0..=3 if history.triggered.len() < 4 => history.trigger(),
                4 => history.abort(),
                5 if history.rng.u8(0..4) == 0 => history.restart(),
                6..=12 => history.complete(),
                _ => history.acknowledge(),
            }
            history.check(seed);
        }
        deleted += history.deleted.len();
        written += history.next_object;
    }
    // Most of what was written has been superseded.
    assert!(deleted as u64 > written / 2, "{deleted} of {written}");
}
