//! Timers in both domains, watermarks in portions, and what barriers make of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{KEYS, MAX_PARALLELISM, ROWS, Run, Sum, check, check_modes};
use crate::channel::{Barrier, LinkLimits};
use crate::connectors::{BlackholeSink, GeneratorSource, MemoryOutput, MemorySink, RowCount};
use crate::error::Result;
use crate::graph::{JobGraph, Stream, StreamBuilder};
use crate::model::{Batch, CheckpointId, EventTime, ManualClock};
use crate::operator::{
    FinishStatus, Operator, OperatorContext, OperatorSnapshot, Output, ProcessContext,
    ProcessFunction, Source, SourceStatus,
};
use crate::runtime::subtask::Progress;
use crate::runtime::subtask_event::SubtaskEvent;
use crate::state::{EntryState, Timer};

/// A key, an event time, and a value.
type Reading = (u64, i64, u64);

/// Lengths of the windows of the two steps: all of the first step's end before one of the second does.
const WINDOW_MILLIS: [i64; 2] = [40, 200];

const LIMITS: LinkLimits = LinkLimits {
    rows_max: 50,
    elements_max: 10,
};

#[test]
fn every_order_of_steps_and_every_crash_fires_each_timer_once() {
    check(25, windows_graph, &windows_reference());
}

#[test]
fn timers_fire_once_when_barriers_overtake_records_and_watermarks() {
    let in_flight = check_modes(40, windows_graph, &windows_reference());
    assert!(in_flight > 1_000, "only {in_flight} rows were replayed");
}

#[test]
fn a_trigger_waits_until_the_watermark_is_through() {
    let output = MemoryOutput::default();
    let mut run = start(&windows_graph(1, &output), Arc::default());
    while !run.subtasks[0].0.chain.is_watermark_under_way() {
        for (subtask, _) in run.subtasks.iter_mut().rev() {
            subtask.step(100).unwrap();
        }
    }
    let ((source, _), others) = run.subtasks.split_first_mut().unwrap();
    for id in [1, 2] {
        source
            .trigger(Barrier::aligned(CheckpointId(id)), false)
            .unwrap();
    }
    source.abort(CheckpointId(1)).unwrap();
    for step in 0.. {
        if !source.chain.is_watermark_under_way() {
            break;
        }
        assert!(step < 1_000, "the watermark does not get through");
        assert_eq!(source.take_events().count(), 0);
        // The others make room in the links.
        for (subtask, _) in &mut *others {
            subtask.step(100).unwrap();
        }
        source.step(1).unwrap();
    }
    let events: Vec<_> = source.take_events().collect();
    let [SubtaskEvent::Snapshot(sealed)] = &events[..] else {
        panic!("the one snapshot that was not given up");
    };
    assert_eq!(sealed.checkpoint, CheckpointId(2));
}

#[test]
fn a_jump_of_the_watermark_gives_out_no_more_than_a_portion_beyond_the_bound_of_the_links() {
    let output = MemoryOutput::default();
    // Every record has a key of its own, and all windows end with the input.
    let graph = job(1, &output, |numbers| {
        numbers
            .map("own_key", |(key, time, value)| {
                (key + KEYS * time as u64, time, value)
            })
            .key_by(|(key, ..): &Reading| *key)
            .process("windows", || Ok(Windows::of(i64::MAX / 2)))
            .key_by(|(key, ..): &Reading| *key)
            .process("totals", || Ok(Windows::of(i64::MAX / 2)))
    });
    let mut run = start(&graph, Arc::default());
    let [(source, _), (windows, _), (totals, _)] = &mut run.subtasks[..] else {
        panic!("three subtasks");
    };
    while !windows.chain.is_watermark_under_way() {
        for subtask in [&mut *source, &mut *totals, &mut *windows] {
            subtask.step(100_000).unwrap();
        }
    }
    windows.take_figures();
    // Now the last subtask reads nothing any more, so the one before it stands still.
    for _ in 0..10 {
        assert_eq!(windows.step(100_000).unwrap(), Progress::Waiting);
    }
    assert_eq!(windows.take_figures().records_sent, 0);
    // One portion of timers that emit a row each is in the link, and one waits for room.
    totals.step(100_000).unwrap();
    assert_eq!(totals.take_figures().records_in, 1024);
}

#[test]
fn processing_time_timers_fire_when_the_clock_says_so() {
    let clock = Arc::new(ManualClock::default());
    let mut run = start(&echo_graph(false), clock.clone());
    run.subtasks[0].0.step(1_000).unwrap();
    let echo = &mut run.subtasks[1].0;
    let mut check = |advance: u64, sleep: u64, sunk: u64| {
        clock.advance(Duration::from_millis(advance));
        let progress = echo.step(100_000).unwrap();
        assert_eq!(progress, Progress::Sleeping(Duration::from_millis(sleep)));
        assert_eq!(echo.take_figures().records_sunk, sunk);
    };
    check(0, 100, 0);
    check(60, 40, 0);
    // The other timer is further away than the longest sleep.
    check(40, 10_000, 1);
    check(3_599_999, 1, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(echo.step(100_000).unwrap(), Progress::Waiting);
    assert_eq!(echo.take_figures().records_sunk, 1);
}

#[test]
fn processing_time_timers_fire_no_more_when_the_input_has_ended() {
    let clock = Arc::new(ManualClock::default());
    let mut run = start(&echo_graph(true), clock.clone());
    run.subtasks[0].0.step(100_000).unwrap();
    let echo = &mut run.subtasks[1].0;
    for _ in 0..2 {
        // In the first step the timer is registered, and the end is read before the timer is due.
        assert_eq!(echo.step(100_000).unwrap(), Progress::Waiting);
        clock.advance(Duration::from_secs(5));
    }
    assert_eq!(echo.take_figures().records_sunk, 0);
    let events: Vec<_> = echo.take_events().collect();
    assert!(matches!(events[..], [SubtaskEvent::Finished]));
}

#[test]
fn a_restored_timer_that_is_overdue_fires_at_once_unless_the_input_had_ended() {
    for ended in [false, true] {
        let clock = Arc::new(ManualClock::default());
        let mut run = start(&echo_graph(ended), clock.clone());
        for (subtask, _) in &mut run.subtasks {
            subtask.step(1_000).unwrap();
        }
        let mut random = fastrand::Rng::with_seed(3);
        // The clock stands still, so no timer fires before the checkpoint.
        while run.last_completed.is_none() {
            run.play(&mut random, Some(100), 3);
        }
        clock.advance(Duration::from_millis(100));
        let checkpoint = run.last_completed.take();
        let mut second = Run::start_with(&echo_graph(ended), checkpoint, LIMITS, None, clock);
        let echo = &mut second.subtasks[1].0;
        let progress = echo.step(100_000).unwrap();
        let sunk = echo.take_figures().records_sunk;
        let expected = if ended {
            (Progress::Waiting, 0)
        } else {
            (Progress::Sleeping(Duration::from_secs(10)), 1)
        };
        assert_eq!((progress, sunk), expected);
    }
}

fn start(graph: &JobGraph, clock: Arc<ManualClock>) -> Run {
    Run::start_with(graph, None, LIMITS, None, clock)
}

fn reading(index: u64) -> Reading {
    // Event time stands still for a while and jumps then.
    let time = (index / 300 * 1_000 + index % 300 / 3) as i64;
    (index * 7 % KEYS, time, index % 10)
}

fn window_end(time: i64, millis: i64) -> i64 {
    (time.div_euclid(millis) + 1).saturating_mul(millis)
}

/// The sums of the second step's windows, which are made of those of the first's.
fn windows_reference() -> Vec<Sum> {
    let mut sums = BTreeMap::<Sum, u64>::new();
    for (key, time, value) in (0..ROWS).map(reading) {
        let end = window_end(window_end(time, WINDOW_MILLIS[0]), WINDOW_MILLIS[1]);
        *sums.entry((key % 4, end as u64)).or_default() += value;
    }
    let mut sums: Vec<_> = sums
        .into_iter()
        .map(|((key, end), sum)| (end * 4 + key, sum))
        .collect();
    sums.sort_unstable();
    sums
}

fn job(
    parallelism: usize,
    output: &MemoryOutput<Sum>,
    steps: impl Fn(Stream<Reading>) -> Stream<Reading>,
) -> JobGraph {
    let job = StreamBuilder::new("job")
        .parallelism(parallelism)
        .max_parallelism(MAX_PARALLELISM);
    let output = output.clone();
    let numbers = job.source("numbers", || {
        let source = GeneratorSource::from_fn(Some(ROWS), 8, |_, index| reading(index))?;
        let source = source.with_event_time(|index| EventTime(reading(index).1));
        Ok(Triple(Box::new(source.with_batch_rows(16))))
    });
    steps(numbers)
        .map("number", |(key, end, sum)| (end as u64 * 4 + key, sum))
        .sink("out", move || Ok(MemorySink::of_rows(&output)));
    job.build().unwrap()
}

/// Two buffers behind the source in its chain, and two steps of windows.
fn windows_graph(parallelism: usize, output: &MemoryOutput<Sum>) -> JobGraph {
    job(parallelism, output, |numbers| {
        numbers
            .operator::<Reading, _>("buffer", || Ok(Buffer::with_portions_of(20)))
            .operator::<Reading, _>("second_buffer", || Ok(Buffer::with_portions_of(9)))
            .key_by(|(key, ..): &Reading| *key)
            .unaligned()
            .process("windows", || Ok(Windows::of(WINDOW_MILLIS[0])))
            .map("group", |(key, time, sum)| (key % 4, time, sum))
            .key_by(|(key, ..): &Reading| *key)
            .unaligned()
            .process("totals", || Ok(Windows::of(WINDOW_MILLIS[1])))
    })
}

/// Polls three times for each poll, so that records come behind a watermark at once.
struct Triple(Box<dyn Source>);

impl Source for Triple {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.0.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        for _ in 0..2 {
            self.0.poll(rows_max, output)?;
        }
        self.0.poll(rows_max, output)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        self.0.snapshot(checkpoint)
    }
}

/// Holds rows back until the watermark has reached their time, and gives them out in small portions. It is given nothing
/// else before it has done so.
struct Buffer {
    portion_rows: usize,
    rows: Vec<Reading>,
    /// The watermark for which there is more to do.
    under_way: Option<EventTime>,
}

impl Buffer {
    fn with_portions_of(portion_rows: usize) -> Self {
        Self {
            portion_rows,
            rows: Vec::new(),
            under_way: None,
        }
    }
}

impl Operator for Buffer {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let subtask = context.subtask;
        let own = context.restored.map(|restored| &restored.subtasks[subtask]);
        let rows = own.into_iter().flatten();
        self.rows = rows
            .map(|row| serde_json::from_value(row.clone()).unwrap())
            .collect();
        Ok(())
    }

    fn process(&mut self, batch: Batch, _output: &mut Output) -> Result<()> {
        assert_eq!(self.under_way, None);
        self.rows.extend(batch.into_rows::<Reading>()?);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, output: &mut Output) -> Result<FinishStatus> {
        assert!(
            self.under_way
                .take()
                .is_none_or(|before| before == watermark)
        );
        let mut portion = Vec::new();
        let mut left = self.portion_rows;
        self.rows.retain(|row| {
            let stays = row.1 > watermark.0 || left == 0;
            if !stays {
                portion.push(*row);
                left -= 1;
            }
            stays
        });
        output.emit(Batch::from_rows(portion));
        if left == 0 {
            self.under_way = Some(watermark);
            return Ok(FinishStatus::More);
        }
        output.emit_watermark(watermark);
        Ok(FinishStatus::Done)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        assert_eq!(self.under_way, None);
        let items = self
            .rows
            .iter()
            .map(|row| serde_json::to_value(row).unwrap());
        Ok(OperatorSnapshot {
            items: items.collect(),
            background: Vec::new(),
        })
    }
}

/// Sums by key and window.
struct Windows {
    millis: i64,
    sums: Option<EntryState<u64, i64, u64>>,
}

impl Windows {
    fn of(millis: i64) -> Self {
        Self { millis, sums: None }
    }
}

impl ProcessFunction for Windows {
    type In = Reading;
    type Key = u64;
    type Out = Reading;

    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.sums = Some(context.keyed_state.entry_state("sums")?);
        Ok(())
    }

    fn process(
        &mut self,
        key: &u64,
        (_, time, value): Reading,
        context: &mut ProcessContext<'_, u64, Reading>,
    ) -> Result<()> {
        let end = window_end(time, self.millis);
        let sums = self.sums.as_ref().unwrap();
        sums.upsert_with(key, &end, |sum| sum.unwrap_or_default() + value)?;
        context.register_event_time(EventTime(end))
    }

    fn on_timer(
        &mut self,
        key: &u64,
        timer: Timer,
        context: &mut ProcessContext<'_, u64, Reading>,
    ) -> Result<()> {
        let Timer::EventTime(EventTime(end)) = timer else {
            panic!("{timer:?}");
        };
        let sums = self.sums.as_ref().unwrap();
        let sum = sums.get(key, &end)?.expect("a window fires once");
        sums.remove(key, &end)?;
        assert!(context.watermark() >= EventTime(end), "{timer:?}");
        context.emit((*key, end, sum));
        Ok(())
    }
}

/// Emits when each of its timers fired: one 100 ms after each row, and one an hour later.
struct Echo;

impl ProcessFunction for Echo {
    type In = u64;
    type Key = u64;
    type Out = Sum;

    fn process(
        &mut self,
        _key: &u64,
        _row: u64,
        context: &mut ProcessContext<'_, u64, Sum>,
    ) -> Result<()> {
        let time = context.processing_time() + 100;
        context.register_processing_time(time)?;
        context.register_processing_time(time + 3_600_000)
    }

    fn on_timer(
        &mut self,
        key: &u64,
        timer: Timer,
        context: &mut ProcessContext<'_, u64, Sum>,
    ) -> Result<()> {
        assert!(
            timer <= Timer::ProcessingTime(context.processing_time()),
            "{timer:?}"
        );
        context.emit((*key, context.processing_time() as u64));
        Ok(())
    }
}

/// One row that is echoed, and then the end of the input, or nothing.
fn echo_graph(ends: bool) -> JobGraph {
    let job = StreamBuilder::new("job").max_parallelism(MAX_PARALLELISM);
    job.source("number", move || Ok(OneRow { ends, given: false }))
        .key_by(|number: &u64| *number)
        .process("echo", || Ok(Echo))
        .sink("out", || Ok(BlackholeSink::new(RowCount::default())));
    job.build().unwrap()
}

/// Gives out one row.
struct OneRow {
    ends: bool,
    given: bool,
}

impl Source for OneRow {
    fn open(&mut self, _context: &mut OperatorContext<'_>) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, _rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        if !self.given {
            self.given = true;
            output.emit(Batch::from_rows(vec![7_u64]));
        }
        Ok(if self.ends {
            SourceStatus::Finished
        } else {
            SourceStatus::Wait(Duration::from_secs(3_600))
        })
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }
}
