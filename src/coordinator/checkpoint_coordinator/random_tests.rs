//! Random events in random order: whatever comes, the promises hold, and in the end nothing is left over.

use super::*;

/// A job whose subtasks, storage and messages do what the seed says.
struct World {
    seed: u64,
    random: fastrand::Rng,
    now: Duration,
    coordinator: CheckpointCoordinator<u64>,
    subtasks: Vec<SubtaskId>,
    finished: BTreeSet<SubtaskId>,
    /// Who takes part in no checkpoint any more, as of the last trigger.
    left: Vec<SubtaskId>,
    /// The newest checkpoint that each subtask has committed.
    committed: BTreeMap<SubtaskId, CheckpointId>,
    /// The first checkpoint that was triggered after each subtask had finished.
    first_after_end: BTreeMap<SubtaskId, CheckpointId>,
    /// Acknowledgements and declines under way; they may come late, twice, or never.
    messages: Vec<(CheckpointId, SubtaskId)>,
    manifests: Vec<CheckpointId>,
    commits: Vec<(CheckpointId, SubtaskId)>,
    wakes_at: Option<Duration>,
    triggered: Vec<CheckpointId>,
    /// Who has acknowledged which pending checkpoint.
    acknowledged: BTreeSet<(CheckpointId, SubtaskId)>,
    open: BTreeMap<CheckpointId, CheckpointKind>,
    durable: BTreeSet<CheckpointId>,
    completed: Vec<CheckpointId>,
    /// What became of every state that was handed in: where it went, in order. Duplicates are not in here.
    states: BTreeMap<u64, usize>,
    /// What each request was answered with.
    requests: Vec<Option<Result<CheckpointId, CheckpointFailure>>>,
    /// How many removals are under way.
    cleaning: usize,
    end: Option<CheckpointCommand<u64>>,
    /// Everything works from now on, so that the run comes to an end.
    is_calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let millis = Duration::from_millis;
        let settings = CheckpointSettings {
            interval: random.bool().then(|| millis(random.u64(1..300))),
            timeout: millis(random.u64(50..500)),
            min_pause: millis(if random.bool() { 0 } else { random.u64(1..200) }),
            max_concurrent: random.usize(1..4),
            overtaking_after: random.bool().then_some(Duration::ZERO),
            tolerable_failures: random.choice([0, 3, u32::MAX]).unwrap_or_default(),
        };
        let count = random.usize(1..5);
        Self {
            seed,
            now: Duration::ZERO,
            coordinator: CheckpointCoordinator::new(settings),
            subtasks: (0..count)
                .map(|index| SubtaskId::new(["out", "sum"][index / 2].into(), index % 2))
                .collect(),
            finished: BTreeSet::new(),
            left: Vec::new(),
            committed: BTreeMap::new(),
            first_after_end: BTreeMap::new(),
            messages: Vec::new(),
            manifests: Vec::new(),
            commits: Vec::new(),
            wakes_at: None,
            triggered: Vec::new(),
            acknowledged: BTreeSet::new(),
            open: BTreeMap::new(),
            durable: BTreeSet::new(),
            completed: Vec::new(),
            states: BTreeMap::new(),
            requests: Vec::new(),
            cleaning: 0,
            end: None,
            is_calm: false,
            random,
        }
    }

    fn play(mut self) {
        let next_id = CheckpointId(self.random.u64(1..100));
        let commands = self.coordinator.started(
            self.subtasks.iter().cloned().collect(),
            BTreeSet::new(),
            next_id,
            self.now,
        );
        self.carry_out(commands);
        for _ in 0..self.random.usize(0..200) {
            self.step();
        }
        self.is_calm = true;
        for subtask in self.subtasks.clone() {
            self.finish(subtask);
        }
        for _ in 0..2_000 {
            self.step();
            let is_quiet = self.messages.is_empty() && self.manifests.is_empty();
            if self.end.is_some() && is_quiet {
                break;
            }
        }
        assert!(self.end.is_some(), "the job does not end, {self}");
        assert!(
            self.open.is_empty(),
            "{:?} stays pending, {self}",
            self.open
        );
        let open = self.requests.iter().position(Option::is_none);
        assert_eq!(open, None, "a request stays open, {self}");
        for (state, times) in &self.states {
            assert_eq!(*times, 1, "state {state} was used {times} times, {self}");
        }
    }

    fn step(&mut self) {
        match self.random.u8(0..20) {
            0 if !self.is_calm => {
                let kind = match self.random.bool() {
                    true => RequestKind::Checkpoint,
                    false => RequestKind::Savepoint,
                };
                let request = self.next_request();
                let commands = self.coordinator.requested(request, kind, self.now);
                self.carry_out(commands);
            }
            1 if !self.is_calm => {
                let subtask = self.random_subtask();
                self.finish(subtask);
            }
            2 if self.random.u8(0..40) == 0 => {
                let (request, drain) = (self.next_request(), self.random.bool());
                let commands = self
                    .coordinator
                    .stop_requested(Some(request), drain, self.now);
                self.carry_out(commands);
            }
            3 if self.random.u8(0..100) == 0 => {
                let reason = FailureReason::TaskFailure.into();
                let commands = self.coordinator.shut_down(&reason, self.now);
                self.end.get_or_insert(CheckpointCommand::Stopped);
                self.carry_out(commands);
            }
            4 if self.cleaning > 0 => self.end_cleaning(),
            4 => self.acknowledge_nonsense(),
            5..=7 => self.manifest(),
            8..=10 => self.commit(),
            11..=13 => self.pass_time(),
            _ => self.deliver(),
        }
    }

    fn next_request(&mut self) -> RequestId {
        let request = RequestId(self.requests.len() as u64);
        self.requests.push(None);
        request
    }

    fn end_cleaning(&mut self) {
        self.cleaning -= 1;
        let commands = self.coordinator.cleaning_ended(self.now);
        self.carry_out(commands);
    }

    fn random_subtask(&mut self) -> SubtaskId {
        self.subtasks[self.random.usize(0..self.subtasks.len())].clone()
    }

    fn finish(&mut self, subtask: SubtaskId) {
        self.finished.insert(subtask.clone());
        let commands = self.coordinator.subtask_finished(&subtask, self.now);
        self.carry_out(commands);
    }

    fn pass_time(&mut self) {
        let passed = Duration::from_millis(self.random.u64(0..100));
        self.now += passed;
        // Most ticks come when they were asked for, some at any time.
        if self.wakes_at.is_some_and(|time| time <= self.now) || self.random.u8(0..8) == 0 {
            self.wakes_at = None;
            let commands = self.coordinator.tick(self.now);
            self.carry_out(commands);
        }
    }

    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.messages.len());
        let (checkpoint, subtask) = self.messages[index].clone();
        let fate = if self.is_calm {
            9
        } else {
            self.random.u8(0..30)
        };
        // Nothing is lost in a process, but a subtask may never come to the barrier.
        if fate != 0 {
            self.messages.swap_remove(index);
        }
        match fate {
            1 => {}
            2 | 3 => {
                let reason = self.random.choice(FailureReason::ALL);
                let reason = reason.unwrap_or(FailureReason::Declined);
                let commands = self
                    .coordinator
                    .declined(checkpoint, &subtask, reason, self.now);
                self.carry_out(commands);
            }
            // Zero leaves the message where it is, so that it comes twice.
            _ => self.acknowledge(checkpoint, subtask),
        }
    }

    fn acknowledge(&mut self, checkpoint: CheckpointId, subtask: SubtaskId) {
        let state = self.random.u64(..);
        let is_duplicate = self.open.contains_key(&checkpoint)
            && !self.acknowledged.insert((checkpoint, subtask.clone()));
        if !is_duplicate {
            self.states.insert(state, 0);
        }
        let commands = self
            .coordinator
            .acknowledged(checkpoint, &subtask, state, self.now);
        self.carry_out(commands);
    }

    /// An acknowledgement of a subtask or a checkpoint that does not exist.
    fn acknowledge_nonsense(&mut self) {
        let state = self.random.u64(..);
        self.states.insert(state, 0);
        let (checkpoint, subtask) = if self.random.bool() {
            let newest = self.triggered.last().copied().unwrap_or_default();
            (newest, SubtaskId::new("stranger".into(), 0))
        } else {
            (CheckpointId(1_000_000), self.random_subtask())
        };
        let commands = self
            .coordinator
            .acknowledged(checkpoint, &subtask, state, self.now);
        assert!(
            commands.contains(&CheckpointCommand::Discard(state)),
            "{self}"
        );
        self.carry_out(commands);
    }

    fn manifest(&mut self) {
        if self.manifests.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.manifests.len());
        let checkpoint = self.manifests.swap_remove(index);
        let commands = if !self.is_calm && self.random.u8(0..8) == 0 {
            let reason = FailureReason::FinalizeFailure;
            self.coordinator
                .manifest_failed(checkpoint, reason, self.now)
        } else {
            self.durable.insert(checkpoint);
            // With the job gone nobody is notified, so it is closed here; of a savepoint nobody ever is.
            let is_savepoint = self.open.get(&checkpoint) == Some(&CheckpointKind::Savepoint);
            if self.end.is_some() || is_savepoint {
                self.open.remove(&checkpoint);
            }
            if self.random.bool() && !is_savepoint {
                self.cleaning += 1;
                self.coordinator.cleaning_begun();
            }
            self.coordinator.manifest_committed(checkpoint, self.now)
        };
        self.carry_out(commands);
    }

    fn commit(&mut self) {
        if self.commits.is_empty() {
            return;
        }
        let index = self.random.usize(0..self.commits.len());
        let (checkpoint, subtask) = self.commits.swap_remove(index);
        let newest = self.committed.entry(subtask.clone()).or_default();
        *newest = checkpoint.max(*newest);
        let commands = self.coordinator.committed(checkpoint, &subtask, self.now);
        self.carry_out(commands);
    }

    fn carry_out(&mut self, commands: Vec<CheckpointCommand<u64>>) {
        assert_eq!(self.coordinator.check_invariants(), Ok(()), "{self}");
        for command in commands {
            match command {
                CheckpointCommand::Trigger {
                    checkpoint,
                    kind,
                    finished,
                } => {
                    self.leave(checkpoint, finished);
                    self.triggered(checkpoint, kind);
                }
                CheckpointCommand::WriteManifest {
                    checkpoint,
                    acknowledged,
                    finished,
                    ..
                } => self.writes(checkpoint, acknowledged, finished),
                CheckpointCommand::NotifyComplete(checkpoint) => {
                    assert!(self.durable.contains(&checkpoint), "{checkpoint}, {self}");
                    assert!(self.open.remove(&checkpoint).is_some(), "{self}");
                    assert!(self.completed.last() < Some(&checkpoint), "{self}");
                    self.completed.push(checkpoint);
                    let subtasks = self.taking_part();
                    self.commits
                        .extend(subtasks.into_iter().map(|subtask| (checkpoint, subtask)));
                }
                CheckpointCommand::NotifyAborted { checkpoint, .. } => {
                    assert!(self.open.remove(&checkpoint).is_some(), "{self}");
                    assert!(!self.durable.contains(&checkpoint), "{self}");
                }
                CheckpointCommand::Discard(state) => self.used(state),
                CheckpointCommand::Answer { request, result } => self.answered(request, result),
                CheckpointCommand::Drain => {
                    for subtask in self.subtasks.clone() {
                        self.finished.insert(subtask.clone());
                        let commands = self.coordinator.subtask_finished(&subtask, self.now);
                        self.carry_out(commands);
                    }
                }
                CheckpointCommand::WakeAt(time) => self.wakes_at = Some(time),
                end => self.ended(end),
            }
        }
    }

    fn answered(&mut self, request: RequestId, result: Result<CheckpointId, CheckpointFailure>) {
        if let Ok(checkpoint) = &result {
            assert!(self.durable.contains(checkpoint), "{checkpoint}, {self}");
            let is_answer_of_another = self.requests.iter().flatten().any(|other| *other == result);
            assert!(!is_answer_of_another, "{checkpoint} answers twice, {self}");
        }
        let open = &mut self.requests[request.0 as usize];
        assert_eq!(open.replace(result), None, "answered twice");
    }

    fn triggered(&mut self, checkpoint: CheckpointId, kind: CheckpointKind) {
        assert!(self.end.is_none(), "{kind} after the end, {self}");
        assert!(self.triggered.last() < Some(&checkpoint), "{self}");
        let is_first_last = self.open.values().all(|open| !open.is_last());
        assert!(is_first_last, "{kind} after the last one, {self}");
        if kind == CheckpointKind::Final {
            assert_eq!(self.finished.len(), self.subtasks.len(), "{self}");
        }
        self.triggered.push(checkpoint);
        self.open.insert(checkpoint, kind);
        let pending_max = self.coordinator.settings.pending_max();
        let savepoints = self
            .open
            .values()
            .filter(|kind| **kind == CheckpointKind::Savepoint);
        let savepoints = savepoints.count();
        assert!(savepoints <= 1, "{:?}, {self}", self.open);
        let checkpoints = self.open.len() - savepoints;
        assert!(checkpoints <= pending_max, "{:?}, {self}", self.open);
        let meets_unaligned = self.coordinator.settings.overtaking_after.is_some()
            && kind == CheckpointKind::Savepoint;
        assert!(
            !meets_unaligned || checkpoints == 0,
            "{:?}, {self}",
            self.open
        );
        let may_be_behind = self.cleaning <= pending_max || kind.is_last();
        assert!(
            may_be_behind,
            "{kind} while {} removals are under way, {self}",
            self.cleaning
        );
        let subtasks = self.taking_part().into_iter();
        self.messages
            .extend(subtasks.map(|subtask| (checkpoint, subtask)));
    }

    fn taking_part(&self) -> Vec<SubtaskId> {
        let subtasks = self.subtasks.iter();
        let taking_part = subtasks.filter(|subtask| !self.left.contains(subtask));
        taking_part.cloned().collect()
    }

    /// Whoever takes no part any more has finished, and so has its whole chain, with all that it did committed.
    fn leave(&mut self, checkpoint: CheckpointId, finished: Vec<SubtaskId>) {
        for subtask in &self.finished {
            let first = self.first_after_end.entry(subtask.clone());
            first.or_insert(checkpoint);
        }
        for subtask in &finished {
            let has_committed = |subtask: &SubtaskId| {
                let first = self.first_after_end.get(subtask);
                first.is_some_and(|first| Some(first) <= self.committed.get(subtask))
            };
            let subtasks = self.subtasks.iter();
            let mut chain = subtasks.filter(|other| other.operator == subtask.operator);
            assert!(chain.all(has_committed), "{subtask} has left, {self}");
        }
        assert!(
            self.left.iter().all(|left| finished.contains(left)),
            "{self}"
        );
        self.left = finished;
    }

    fn writes(
        &mut self,
        checkpoint: CheckpointId,
        acknowledged: Vec<(SubtaskId, u64)>,
        finished: Vec<SubtaskId>,
    ) {
        let of_one_kind = |other: &CheckpointId| {
            let kinds = [self.open.get(other), self.open.get(&checkpoint)];
            let is_savepoint = kinds.map(|kind| kind == Some(&CheckpointKind::Savepoint));
            is_savepoint[0] == is_savepoint[1]
        };
        let is_busy = self.manifests.iter().any(of_one_kind);
        assert!(!is_busy, "two manifests at once, {self}");
        let from = acknowledged.iter().map(|(subtask, _)| subtask);
        let mut from: Vec<_> = from.chain(&finished).cloned().collect();
        from.sort_unstable();
        assert_eq!(
            from, self.subtasks,
            "{acknowledged:?}, {finished:?}, {self}"
        );
        for (_, state) in acknowledged {
            self.used(state);
        }
        self.manifests.push(checkpoint);
    }

    fn used(&mut self, state: u64) {
        let Some(times) = self.states.get_mut(&state) else {
            panic!("state {state} of a duplicate was used, {self}");
        };
        *times += 1;
    }

    fn ended(&mut self, end: CheckpointCommand<u64>) {
        assert!(self.end.is_none(), "{end:?} after the end, {self}");
        if end == CheckpointCommand::Finished {
            assert_eq!(self.finished.len(), self.subtasks.len(), "{self}");
        }
        if !matches!(end, CheckpointCommand::FailJob { .. }) {
            assert!(self.open.is_empty(), "{end:?} with {:?}, {self}", self.open);
            let last = self.completed.last();
            let waits = |(checkpoint, _): &(CheckpointId, _)| Some(checkpoint) == last;
            assert!(!self.commits.iter().any(waits), "uncommitted, {self}");
        }
        self.end = Some(end);
    }
}

impl std::fmt::Display for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "seed {}, {:?}, triggered {:?}, completed {:?}, end {:?}",
            self.seed, self.coordinator.settings, self.triggered, self.completed, self.end
        )
    }
}

#[test]
fn in_any_order_of_events_the_promises_hold_and_the_job_comes_to_an_end() {
    for seed in 0..6_000 {
        World::new(seed).play();
    }
}
