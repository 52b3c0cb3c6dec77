//! Records a second from a topic to a topic, beside a bare loop of the same client on the same broker: events of 100 bytes
//! of JSON, which the job reads into columns and writes again, and the loop only hands on.
//!
//! `cargo bench --bench kafka_to_kafka` prints a table; `-- --help` tells how to measure less of it. It needs a broker:
//! `scripts/services.sh`, or `FLOODMARK_TEST_KAFKA`. A broker on the same machine takes its share of the cores from
//! whoever keeps it busy.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark has no caller to hand an error to, reads the clock, and its output is for people"
)]

mod bare;
mod job;
#[path = "../keyed_sum/median.rs"]
mod median;
mod topic;

use std::time::Duration;

use clap::Parser;

use median::median;
use topic::Topic;

/// Records a second from a topic to a topic, and the ratio to a bare loop of consumer and producer.
#[derive(Parser)]
#[command(name = "kafka_to_kafka")]
struct Arguments {
    /// The broker, as HOST:PORT; FLOODMARK_TEST_KAFKA unless given.
    #[arg(long)]
    broker: Option<String>,
    /// How many records are handed on in each run.
    #[arg(long, default_value_t = 600_000)]
    records: usize,
    /// How many subtasks each operator has, and how many threads the bare loop.
    #[arg(long, default_value_t = 2)]
    parallelism: usize,
    /// How often all is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Given by `cargo bench`, and of no meaning here.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured beside the bare loop.
const JOBS: [(&str, job::Plan); 3] = [
    (
        "none, no checkpoints",
        job::Plan {
            delivery_guarantee: "none",
            interval: None,
        },
    ),
    (
        "at-least-once, 1 s",
        job::Plan {
            delivery_guarantee: "at-least-once",
            interval: Some("1s"),
        },
    ),
    (
        "exactly-once, 1 s",
        job::Plan {
            delivery_guarantee: "exactly-once",
            interval: Some("1s"),
        },
    ),
];

fn main() {
    let arguments = Arguments::parse();
    let broker = arguments
        .broker
        .or_else(|| std::env::var("FLOODMARK_TEST_KAFKA").ok());
    let Some(broker) = broker else {
        eprintln!(
            "there is no broker: start one with scripts/services.sh, or name one with --broker"
        );
        std::process::exit(2);
    };
    let input = Topic::create(&broker, "events");
    input.fill(arguments.records);
    let per_second = |time: Duration| arguments.records as f64 / time.as_secs_f64();
    // Each kind of run, round by round.
    let mut rates = vec![Vec::new(); JOBS.len() + 1];
    for round in 1..=arguments.rounds {
        eprint!("\rround {round} of {}      ", arguments.rounds);
        let output = Topic::create(&broker, "bare");
        rates[0].push(per_second(bare::run(
            &input,
            &output,
            arguments.parallelism,
        )));
        output.expect(arguments.records);
        for (index, (_, plan)) in JOBS.iter().enumerate() {
            let output = Topic::create(&broker, "job");
            rates[index + 1].push(per_second(job::run(
                plan,
                &input,
                &output,
                arguments.parallelism,
            )));
            output.expect(arguments.records);
        }
    }
    eprint!("\r{:40}\r", "");
    println!("{:>22} {:>12} {:>8}", "", "records/s", "ratio");
    let names = ["bare loop"]
        .into_iter()
        .chain(JOBS.iter().map(|(name, _)| *name));
    for (name, own) in names.zip(&rates) {
        // A round's runs lie close together, so what disturbs the machine for a while disturbs them all.
        let ratios = own.iter().zip(&rates[0]).map(|(own, bare)| own / bare);
        println!(
            "{name:>22} {:>12.0} {:>7.0} %",
            median(own.clone()),
            100.0 * median(ratios.collect())
        );
    }
}
