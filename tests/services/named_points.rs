//! A job from a topic to a topic, with its checkpoints on the local disk, dies at each of the engine's fault points and at
//! each step of its sink: not at random, and not from outside, but in a process of its own that embeds the engine and
//! aborts itself at exactly that place. Nothing is put in order then, as after SIGKILL.

use std::fs;
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use floodmark::config::JobFile;
use floodmark::connectors::{KafkaSink, KafkaSinkConfig, TransactionStep};
use floodmark::engine::{Engine, EngineSettings};
use floodmark::error::Result;
use floodmark::graph::{self, Component, Factory, JobGraph};
use floodmark::model::{Batch, CheckpointId};
use floodmark::operator::{
    BackgroundWork, OperatorContext, OperatorSnapshot, Output, Sink, Source, SourceStatus,
};
use floodmark::testing::FaultPoint;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::market_lag::{Input, Job, Life, seed};
use crate::support::Process;

const ROWS: usize = 160_000;

/// A source has noted its positions, and is about to pass the barrier on.
const SOURCE_BARRIER: &str = "source-barrier";
/// A sink has sealed what it was given before the barrier; nothing of that is stored.
const SINK_SEALED: &str = "sink-sealed";
/// The broker has all records of a transaction and its marker, and is about to be told to commit it.
const TRANSACTION_WRITTEN: &str = "transaction-written";
/// The transaction is committed, and the sink does not know that yet.
const TRANSACTION_COMMITTED: &str = "transaction-committed";
/// The sink is done with its part of a checkpoint, and the coordinator is about to hear of it.
const COMMIT_DONE: &str = "commit-done";

/// Every place, in the order in which a checkpoint comes to them. What comes after the last is before the first of the
/// next checkpoint.
fn places() -> Vec<&'static str> {
    let mut places = Vec::new();
    for point in FaultPoint::ALL {
        places.push(point.name());
        places.extend(match point {
            FaultPoint::Barrier => &[SOURCE_BARRIER, SINK_SEALED][..],
            FaultPoint::Commit => &[TRANSACTION_WRITTEN, TRANSACTION_COMMITTED, COMMIT_DONE],
            _ => &[],
        });
    }
    places
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_death_at_any_named_fault_point_loses_nothing_and_doubles_nothing() {
    check(11, |_| 2);
}

#[test]
#[ignore = "needs Kafka: scripts/services.sh"]
fn a_death_at_any_named_fault_point_can_come_with_another_parallelism() {
    check(12, |random| random.usize(1..=4));
}

/// Lets the job die once at each place, each time at the parallelism that `parallelism` draws, and run to its end then.
fn check(default_seed: u64, parallelism: fn(&mut fastrand::Rng) -> usize) {
    let seed = seed(default_seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut input = Input::flowing(ROWS);
    let mut life = Life::new(Job::over(&input));
    for place in places() {
        life.job.parallelism = parallelism(&mut random);
        let time = random.usize(1..=3);
        let ended = start_child(&life, place, time).wait();
        life.expect_killed(&ended, &format!("seed {seed}, {place}, time {time}"));
    }
    input.complete();
    life.finish();
    input.expect_in(&life.job.output, &format!("seed {seed}"));
    // Else the deaths came too early to try anything but the start.
    let resumed = life.resumed;
    assert!(resumed >= life.kills / 2, "seed {seed}: {resumed} resumed");
}

/// Runs the job in a process that dies when it comes to a place for this time.
fn start_child(life: &Life, place: &str, time: usize) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["named_points::child", "--exact", "--ignored", "--nocapture"])
        .env("FLOODMARK_CHILD_PLACE", place)
        .env("FLOODMARK_CHILD_TIME", time.to_string());
    life.start_command(command)
}

/// What runs in processes of their own, which are told by their environment where to die.
#[test]
#[ignore = "a part of other tests, in a process of its own"]
fn child() {
    let Ok(place) = std::env::var("FLOODMARK_CHILD_PLACE") else {
        return;
    };
    let time = std::env::var("FLOODMARK_CHILD_TIME").unwrap();
    let fuse = Fuse {
        place: place.as_str().into(),
        left: Arc::new(AtomicUsize::new(time.parse().unwrap())),
    };
    tracing_subscriber::registry()
        .with(LevelFilter::DEBUG)
        .with(fmt::layer().with_writer(std::io::stderr))
        .with(fuse.clone())
        .init();
    let text = fs::read_to_string("job.toml").unwrap();
    let file = JobFile::parse("job.toml", &text).unwrap();
    let graph = with_fuse(&graph::build(&file).unwrap(), &file, &fuse);
    let in_store = move |step: &str| {
        let mut points = FaultPoint::ALL.into_iter();
        if let Some(point) = points.find(|point| point.is_step(step)) {
            fuse.reach(point.name());
        }
    };
    let engine = Engine::new(graph, EngineSettings::from(&file));
    let outcome = engine.start_observed(in_store).unwrap().wait();
    panic!("it has come to its end before it came to {place}: {outcome:?}");
}

/// The end of a process.
#[derive(Clone)]
struct Fuse {
    /// Where it comes,
    place: Arc<str>,
    /// and after how many passages.
    left: Arc<AtomicUsize>,
}

impl Fuse {
    /// The process has come to a place.
    fn reach(&self, place: &str) {
        if *place == *self.place && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            process::abort();
        }
    }
}

/// What the coordinator does it says before it is done.
impl<S: Subscriber> Layer<S> for Fuse {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let point = match message.0.as_str() {
            "triggered" => FaultPoint::Barrier,
            "acknowledged" => FaultPoint::Acknowledgement,
            "checkpoint completed" => FaultPoint::Completion,
            _ => return,
        };
        self.reach(point.name());
    }
}

/// The message of a logged event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// The same graph, with a source and a sink that have the fuse in them.
fn with_fuse(graph: &JobGraph, file: &JobFile, fuse: &Fuse) -> JobGraph {
    let mut fused = JobGraph::new(&graph.name);
    fused.parallelism = graph.parallelism;
    fused.max_parallelism = graph.max_parallelism;
    for node in graph.nodes() {
        let mut node = node.clone();
        node.component = match node.component {
            Component::Source(make) => Component::Source(fused_source(make, fuse.clone())),
            Component::Sink(_) => {
                let config = file.sinks[0].options.parse().unwrap();
                Component::Sink(fused_sink(config, fuse.clone()))
            }
            operator => operator,
        };
        fused.add(node);
    }
    fused
}

fn fused_source(make: Factory<dyn Source>, fuse: Fuse) -> Factory<dyn Source> {
    Arc::new(move || {
        Ok(Box::new(FusedSource {
            source: make()?,
            fuse: fuse.clone(),
        }))
    })
}

fn fused_sink(config: KafkaSinkConfig, fuse: Fuse) -> Factory<dyn Sink> {
    Arc::new(move || {
        let observing = fuse.clone();
        let sink = KafkaSink::new(config.clone())?.with_observer(move |step| {
            observing.reach(match step {
                TransactionStep::Written => TRANSACTION_WRITTEN,
                TransactionStep::Committed => TRANSACTION_COMMITTED,
            });
        });
        Ok(Box::new(FusedSink {
            sink,
            fuse: fuse.clone(),
        }))
    })
}

struct FusedSource {
    source: Box<dyn Source>,
    fuse: Fuse,
}

impl Source for FusedSource {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.source.open(context)
    }

    fn poll(&mut self, rows_max: usize, output: &mut Output) -> Result<SourceStatus> {
        self.source.poll(rows_max, output)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let snapshot = self.source.snapshot(checkpoint);
        self.fuse.reach(SOURCE_BARRIER);
        snapshot
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.source.commit(checkpoint)
    }
}

struct FusedSink {
    sink: KafkaSink,
    fuse: Fuse,
}

impl Sink for FusedSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        self.sink.open(context)
    }

    fn has_room(&mut self, awaits_barrier: bool) -> bool {
        self.sink.has_room(awaits_barrier)
    }

    fn wants_checkpoint(&mut self) -> bool {
        self.sink.wants_checkpoint()
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        self.sink.write(batch)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        let snapshot = self.sink.snapshot(checkpoint);
        self.fuse.reach(SINK_SEALED);
        snapshot
    }

    fn commit(&mut self, checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        self.fuse.reach(FaultPoint::Commit.name());
        let mut work = self.sink.commit(checkpoint)?;
        if !work.is_empty() {
            let fuse = self.fuse.clone();
            work.push(Box::new(move || {
                fuse.reach(COMMIT_DONE);
                Ok(())
            }));
        }
        Ok(work)
    }

    fn finish(&mut self) -> Result<()> {
        self.sink.finish()
    }
}
