use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{ManualClock, SharedClock};
use crate::operator::contract::Emission;
use crate::operator::test_support::{open_with_clock, process};

/// What the function under test is told to do, by a row.
#[derive(Clone, Copy, Debug)]
enum Do {
    Register(Timer),
    Delete(Timer),
    /// To emit so many rows.
    Emit(usize),
}

/// What it tells: what fired, or nothing for a row that it was told to emit, and the time in both domains.
type Told = (u64, Option<Timer>, EventTime, i64);

/// Does what its rows say, and tells of its timers.
struct Obedient {
    /// How many rows each timer emits.
    rows_a_timer: usize,
    /// By how much later a timer registers another one, up to a limit.
    again: Option<(i64, i64)>,
}

type Context<'a> = ProcessContext<'a, u64, Told>;

fn tell(key: u64, timer: Option<Timer>, count: usize, context: &mut Context<'_>) {
    for _ in 0..count {
        context.emit((key, timer, context.watermark(), context.processing_time()));
    }
}

fn register(timer: Timer, context: &mut Context<'_>) -> Result<()> {
    match timer {
        Timer::EventTime(time) => context.register_event_time(time),
        Timer::ProcessingTime(time) => context.register_processing_time(time),
    }
}

impl ProcessFunction for Obedient {
    type In = (u64, Do);
    type Key = u64;
    type Out = Told;

    fn process(&mut self, key: &u64, row: (u64, Do), context: &mut Context<'_>) -> Result<()> {
        match row.1 {
            Do::Register(timer) => register(timer, context),
            Do::Delete(Timer::EventTime(time)) => context.delete_event_time(time),
            Do::Delete(Timer::ProcessingTime(time)) => context.delete_processing_time(time),
            Do::Emit(count) => {
                tell(*key, None, count, context);
                Ok(())
            }
        }
    }

    fn on_timer(&mut self, key: &u64, timer: Timer, context: &mut Context<'_>) -> Result<()> {
        tell(*key, Some(timer), self.rows_a_timer, context);
        match (timer, self.again) {
            (Timer::EventTime(time), Some((step, limit))) if time.0 + step < limit => {
                context.register_event_time(EventTime(time.0 + step))
            }
            _ => Ok(()),
        }
    }
}

/// An operator that is open, and its clock.
fn opened_operator(function: Obedient) -> (impl Operator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let mut operator = KeyedProcess::new(function, |(key, _): &(u64, Do)| *key);
    open_with_clock(&mut operator, None, &(clock.clone() as SharedClock)).unwrap();
    (operator, clock)
}

fn obedient() -> Obedient {
    Obedient {
        rows_a_timer: 1,
        again: None,
    }
}

fn event_time(time: i64) -> Timer {
    Timer::EventTime(EventTime(time))
}

/// Gives rows to an operator; what it emits.
fn give(operator: &mut dyn Operator, rows: Vec<(u64, Do)>) -> Vec<Batch> {
    process(operator, Batch::from_rows(rows)).unwrap()
}

fn told(batches: Vec<Batch>) -> Vec<Told> {
    let rows = batches.into_iter().map(|batch| batch.into_rows().unwrap());
    rows.flatten().collect()
}

/// What one portion of a watermark emits: batches, and whether the watermark came last.
fn portion(operator: &mut dyn Operator, watermark: i64) -> (Vec<Batch>, bool) {
    let mut output = Output::default();
    let watermark = EventTime(watermark);
    let status = operator.on_watermark(watermark, &mut output).unwrap();
    let mut batches = Vec::new();
    let mut passed = false;
    for emission in output.take() {
        assert!(!passed, "nothing comes behind the watermark");
        match emission {
            Emission::Batch(batch) => batches.push(batch),
            Emission::Watermark(found) => {
                assert_eq!(found, watermark);
                passed = true;
            }
        }
    }
    assert_eq!(passed, status == FinishStatus::Done);
    (batches, passed)
}

/// The keys and timers that fire for a watermark, over all portions.
fn fired(operator: &mut dyn Operator, watermark: i64) -> Vec<(u64, Timer)> {
    let mut all = Vec::new();
    loop {
        let (batches, passed) = portion(operator, watermark);
        all.extend(told(batches));
        if passed {
            let timers = all.into_iter();
            return timers
                .map(|(key, timer, ..)| (key, timer.unwrap()))
                .collect();
        }
    }
}

#[test]
fn due_timers_fire_once_by_time_and_key_before_the_watermark() {
    let (mut operator, _) = opened_operator(obedient());
    let register = |key, time| (key, Do::Register(event_time(time)));
    let delete = |key, time| (key, Do::Delete(event_time(time)));
    let rows = vec![
        register(2, 5),
        register(1, 5),
        register(2, 5),
        register(3, -7),
        register(1, 6),
        register(4, 5),
        delete(4, 5),
        delete(4, 6),
    ];
    assert!(give(&mut operator, rows).is_empty());
    assert_eq!(fired(&mut operator, -8), []);
    let expected = [(3, -7), (1, 5), (2, 5)].map(|(key, time)| (key, event_time(time)));
    assert_eq!(fired(&mut operator, 5), expected);
    assert_eq!(fired(&mut operator, 5), []);
    assert_eq!(fired(&mut operator, i64::MAX), [(1, event_time(6))]);
}

/// An operator before this one can emit records at its end, behind the last watermark. What they registered once never
/// fired.
#[test]
fn timers_that_are_registered_behind_the_last_watermark_fire_at_the_end() {
    let (mut operator, _) = opened_operator(obedient());
    assert_eq!(fired(&mut operator, i64::MAX), []);
    let rows = [i64::MAX, 5].map(|time| (1, Do::Register(event_time(time))));
    assert!(give(&mut operator, rows.to_vec()).is_empty());
    let mut output = Output::default();
    assert_eq!(operator.finish(&mut output).unwrap(), FinishStatus::Done);
    let batches = output.take().map(|emission| match emission {
        Emission::Batch(batch) => batch,
        Emission::Watermark(watermark) => panic!("there is no watermark behind {watermark:?}"),
    });
    let told = told(batches.collect());
    let timers: Vec<_> = told.into_iter().map(|(_, timer, ..)| timer).collect();
    assert_eq!(timers, [5, i64::MAX].map(|time| Some(event_time(time))));
}

#[test]
fn a_jump_of_the_watermark_fires_in_portions() {
    // So many timers, rows that each emits, and portions that it takes at least.
    for (timers, rows_a_timer, portions_min) in
        [(5_000, 0, 5), (5_000, 1, 5), (5_000, 7, 8), (50, 3_000, 25)]
    {
        let function = Obedient {
            rows_a_timer,
            again: None,
        };
        let (mut operator, _) = opened_operator(function);
        let row = |key: u64| (key % 10, Do::Register(event_time(key as i64)));
        give(&mut operator, (0..timers).map(row).collect());
        let mut rows = 0;
        let mut portions = 0;
        loop {
            let (batches, passed) = portion(&mut operator, timers as i64);
            let lengths: Vec<_> = batches.iter().map(Batch::len).collect();
            assert!(lengths.iter().all(|&length| length <= 1024), "{lengths:?}");
            let in_portion: usize = lengths.iter().sum();
            assert!(in_portion < 4096 + 1024 + rows_a_timer, "{in_portion}");
            rows += in_portion;
            portions += 1;
            if passed {
                break;
            }
        }
        assert_eq!(rows, timers as usize * rows_a_timer);
        assert!(portions >= portions_min, "{rows_a_timer}: {portions}");
    }
}

#[test]
fn a_timer_can_register_another_that_is_due_at_once() {
    let function = Obedient {
        rows_a_timer: 1,
        again: Some((10, 5_000)),
    };
    let (mut operator, _) = opened_operator(function);
    give(&mut operator, vec![(1, Do::Register(event_time(0)))]);
    let mut expected = (0..5_000).step_by(10).map(|time| (1, event_time(time)));
    let first: Vec<_> = expected.by_ref().take(301).collect();
    assert_eq!(fired(&mut operator, 3_000), first);
    let rest: Vec<_> = expected.collect();
    assert_eq!(fired(&mut operator, i64::MAX), rest);
}

#[test]
fn processing_time_timers_fire_by_the_clock_in_portions() {
    let (mut operator, clock) = opened_operator(obedient());
    assert_eq!(operator.next_processing_time(), None);
    let timer = |key: u64| Timer::ProcessingTime(50 + key as i64 / 2_000);
    let rows = (0..4_000).map(|key| (key, Do::Register(timer(key))));
    give(&mut operator, rows.collect());
    give(&mut operator, vec![(0, Do::Delete(timer(0)))]);
    // The timers of event time are others.
    assert_eq!(fired(&mut operator, i64::MAX), []);

    clock.advance(Duration::from_millis(50));
    let mut keys = Vec::new();
    for (next, count) in [(50, 1024), (50, 975)] {
        assert_eq!(operator.next_processing_time(), Some(next));
        let mut output = Output::default();
        operator.on_processing_time(50, &mut output).unwrap();
        assert_eq!(output.rows(), count);
        while let Some(Emission::Batch(batch)) = output.take_first() {
            for (key, timer, _, now) in told(vec![batch]) {
                assert_eq!((timer, now), (Some(Timer::ProcessingTime(50)), 50));
                keys.push(key);
            }
        }
    }
    assert!(keys.into_iter().eq(1..2_000));
    assert_eq!(operator.next_processing_time(), Some(51));
}

#[test]
fn the_context_knows_the_time_and_large_outputs_are_cut() {
    let (mut operator, clock) = opened_operator(obedient());
    let mut check = |rows: usize, lengths: &[usize], expected: (EventTime, i64)| {
        let batches = give(&mut operator, vec![(9, Do::Emit(rows))]);
        assert!(batches.iter().map(Batch::len).eq(lengths.iter().copied()));
        let (watermark, processing_time) = expected;
        let expected = (9, None, watermark, processing_time);
        assert!(told(batches).iter().all(|told| *told == expected));
        clock.advance(Duration::from_millis(3));
        portion(&mut operator, 77);
    };
    check(1, &[1], (EventTime::MIN, 0));
    check(2_500, &[1024, 1024, 452], (EventTime(77), 3));
    check(0, &[], (EventTime(77), 6));
}

#[test]
fn a_function_that_was_not_opened_says_so() {
    let mut operator = KeyedProcess::new(obedient(), |(key, _): &(u64, Do)| *key);
    let rows = Batch::from_rows(vec![(1_u64, Do::Emit(1))]);
    let error = process(&mut operator, rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Bug);
    assert_eq!(operator.next_processing_time(), None);
}
