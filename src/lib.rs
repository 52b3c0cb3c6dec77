//! Floodmark is an exactly-once stream processor in one process, with checkpoints in the manner of Apache Flink.
//!
//! A job is a TOML file. Its sources, operators and sinks run as parallel subtasks, each an actor that owns its part of
//! the keyed state. A coordinator floods barriers through the graph; what every subtask held when the barrier passed is
//! written to a store, and after a crash the job goes on from there as if nothing had happened. The name is that of the
//! line that high water leaves on a wall: the coordinator floods the graph, and the mark that stays is the snapshot.
//!
//! It is not a cluster: one process runs the whole job, and more speed comes from more cores of one machine. It is not
//! a database: state is there for the job's own operators, and is read from outside only as their output. It has no
//! query language yet; TOML jobs are put together from built-in operators.
//!
//! # The path of a record
//!
//! 1. A *source* reads rows and gives them out as a *batch*: Arrow columns in a TOML job, a `Vec` of one Rust type in a
//!    typed one. From here on nothing handles a single record except the inner loop of an operator.
//! 2. The batch goes through the *chain* of operators that need no exchange between them: plain function calls within
//!    one subtask, on one thread.
//! 3. Where records must meet by key, the batch is split by *key group*, and each part goes over a *link* to the
//!    subtask that owns the group. A link is bounded in rows; when it is full the producer stops working and is woken
//!    when there is room, so no thread ever blocks.
//! 4. The subtask on the other end looks up, and changes in place, the state of each key. Values lie archived in
//!    memory-mapped segments, and are used where they lie.
//! 5. A *sink* writes the results where nobody outside takes them for final yet.
//!
//! A *watermark* travels among the batches and says how far event time has come. Subtask *i* of every operator lives on
//! worker thread *i*, so a record changes threads only at an exchange by key.
//!
//! # The path of a barrier
//!
//! 1. The checkpoint coordinator tells every subtask, over the control lane of its mailbox, to begin a checkpoint.
//! 2. A source notes its position and sends a *barrier* down its links, between the last batch that belongs to the
//!    checkpoint and the first that does not.
//! 3. A subtask with several inputs *aligns*: it stops reading an input whose barrier has come until the others' have.
//!    Then it seals its state and passes the barrier on. In at-least-once mode it goes on reading all inputs instead.
//!    The barrier of an *unaligned* checkpoint *overtakes* what waits on the exchanges by key: the first one is enough to
//!    begin, and what is *in flight* behind it goes into the checkpoint.
//! 4. Sealing takes microseconds whatever the state's size. Every change since the barrier before already stands in the
//!    *delta*, which from now on never changes and is written to the store in the background.
//! 5. When its bytes are durable, the subtask acknowledges. After the last acknowledgement the coordinator writes the
//!    *manifest*, under a name that must not exist before: that is the moment at which the checkpoint is complete.
//! 6. All subtasks are told, and sinks make visible what they wrote before the barrier. This is the second phase of a
//!    two-phase commit; a restart repeats it if need be, and repeating it changes nothing.
//!
//! A restart takes the newest checkpoint whose every byte proves sound, hands state and positions back to the subtasks,
//! and lets the sinks finish what that checkpoint had promised and take back what came after it.
//!
//! # How the code is put together
//!
//! **A functional core in a shell of actors.** Alignment, the checkpoint protocol, the life of the job, retention: each
//! is a plain struct with events in and commands out. It knows no thread, clock, file or channel; time is an argument.
//! The actors around it only carry out its commands. So every order of events can be tried in a test, from a seed.
//!
//! **Two lanes.** Control messages, a handful for each checkpoint, go through the actors' mailboxes. Data goes through
//! links, because a mailbox has no back-pressure and no fairness; `tests/actix_facts` shows both.
//!
//! # Module map
//!
//! A module imports only from modules before it in this list (`model` and `error` know each other), and a foreign crate
//! named in brackets is known to no other module. `tests/tidy` reads the sources and fails on a breach.
//!
//! - [`model`]: the words that all others speak: batch, key group, event time, ids, the clock as a parameter
//! - [`error`]: what went wrong, and what the caller can do about it
//! - [`config`]: TOML to a checked job description; errors point at the line
//! - [`telemetry`]: the name of every metric, logs, the progress line (metrics, its
//!   exporter for Prometheus, tracing-subscriber, indicatif)
//! - [`channel`]: what travels on a link, the link and its bound, the alignment of several (crossbeam-channel)
//! - [`state`]: keyed state: segments, table, delta and base; operator state; the only module with `unsafe` (memmap2;
//!   rkyv, which operators and the graph know as well)
//! - [`storage`]: the store of objects: paths, conditional writes, checksums, retries; who owns a job; files in buckets
//!   (opendal and its transport over HTTP, reqwest)
//! - [`snapshot`]: what makes up a checkpoint: manifest, writer, reader, retention (arrow-ipc)
//! - [`operator`]: the contracts of sources, operators and sinks, and the built-in operators
//! - [`connectors`]: the built-in sources and sinks, a folder a system (csv, glob, rdkafka, regex-lite)
//! - [`graph`]: from a job description or from typed Rust code to the plan that is run
//! - [`coordinator`]: the checkpoint protocol and the life of a job, as plain structs
//! - [`runtime`]: the step of a subtask, chains, workers, and the actors around them (actix)
//! - [`engine`]: the façade for embedding: a graph and its settings in, a handle on a running job out
//! - [`server`]: a running job over HTTP, in the words of Flink's REST (actix-web)
//! - [`cli`]: the commands of the binary, one a file; control of a running job (clap, ureq)
//! - [`testing`]: harnesses of jobs and operators for tests, deterministic from a seed (feature `testing`)
//!
//! # Invariants
//!
//! 1. A checkpoint is complete when all acknowledgements are in and its manifest is durable, and not a moment before;
//!    nothing becomes visible outside on account of a checkpoint that is not complete.
//! 2. After a restore, state and source positions are together the effect of one prefix of every source.
//! 3. Sealed bytes never change: neither a delta after its barrier, nor a base after its last slice.
//! 4. What a manifest or a running checkpoint refers to is never deleted.
//! 5. Checkpoint ids only grow, across restarts too. The id of a checkpoint that was given up is not used again.
//! 6. A job has one owner: a second process that starts the same job finds out, says so, and stops; and so does one that
//!    the job was taken from, before it commits anything.
//! 7. In exactly-once mode no data behind a barrier is worked off before its subtask has taken the snapshot, and data
//!    before it is in the state or, of an unaligned checkpoint, in flight in it: never in both, never in neither. The
//!    barrier of an unaligned checkpoint waits for nobody to work data off; any other never overtakes data.
//! 8. Every queue, batch and retry has a bound with a name.
//!
//! And what must not be there: a blocking call in an actor's handler; a record in a mailbox; a clock, a thread or a
//! random number that is not handed in; `unsafe` outside `state`; a path into the store that `storage` did not build.
//!
//! # Vocabulary
//!
//! One word for each concept, Flink's where Flink has one:
//!
//! - **job**: all that one TOML file or one graph describes
//! - **operator**: a step of the job, with an id that its state is found by; sources and sinks are operators too
//! - **subtask**: one parallel instance of a chain of operators
//! - **chain**: operators that run in one subtask since no exchange lies between them
//! - **batch**: the records that travel together; **row**: one record of a batch
//! - **link**: the bounded channel from one subtask to another; **element**: what travels on it
//! - **gate**: the inputs of one subtask, and the alignment over them
//! - **attempt**: one life of all subtasks, from a recovery to the job's end or its failure; **restart**: another attempt
//!   after a failure, within the process
//! - **barrier**: the mark on a link between two checkpoints; **alignment**: the wait for it on all inputs
//! - **unaligned**: said of a checkpoint whose barriers **overtake** data; **in flight**: what was overtaken, and belongs to
//!   the checkpoint; **capture**: to take down what is in flight; **replay**: to work it off first after a restore
//! - **back-pressure**: a full link that stops its producer, or a full sink that stops its subtask
//! - **event time**: when something happened, as its record says; **watermark**: nothing earlier will follow
//! - **timer**: a time at which an operator is called for a key: in event time, by the watermark; in processing time, by
//!   the clock
//! - **key group**: the unit in which keys are assigned to subtasks
//! - **keyed state**: what is kept for each key; **operator state**: what belongs to no key, as a **list state**, a **union
//!   list state** or a **broadcast state**; **broadcast**: to send every record to every subtask
//! - **checkpoint**: what the job resumes from; **manifest**: the file that says what belongs to it
//! - **epoch**: the time between two barriers, as a state counts it
//! - **delta**: the records touched in an epoch; **base**: a copy of all records; **segment**: the memory they lie in
//! - **schema**: how a state's keys and values are laid out, in words; **migration**: what makes values of the present type
//!   out of stored ones of a former type
//! - **seal**: to end an epoch, after which its delta never changes
//! - **time-to-live**: how long a value lasts in state; **sweep**: the removal of those whose time is over
//! - **acknowledgement**: a subtask's word that its part of a checkpoint is durable
//! - **checkpoint plan**: who takes part in a checkpoint; a chain **leaves** it when it has **finished for good**: when all
//!   its input is worked off, and all its output committed
//! - **complete**: said of a checkpoint whose manifest is durable; **commit**: what sinks do then
//! - **retention**: how many complete checkpoints are kept
//! - **bucket**: a store that keeps objects and has no folders; **ledger**: the records of who owns a job in a bucket, and of
//!   the ids that its checkpoints may have; **tombstone**: what lies in the place of a manifest that is never to be written;
//!   **heartbeat**: what shows other machines that an owner lives; **lease**: how long they watch for it
//! - **savepoint**: a self-contained snapshot, which belongs to whoever asked for it; **claim**: to make it the job's own
//! - **drain**: to end the input of a job that is to stop, so that it finishes

// The programs in the README are compiled and run as tests.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod channel;
pub mod cli;
pub mod config;
pub mod connectors;
pub mod coordinator;
pub mod engine;
pub mod error;
pub mod graph;
pub mod model;
pub mod operator;
pub mod runtime;
pub mod server;
pub mod snapshot;
pub mod state;
pub mod storage;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
