//! The simulator: one seed gives a random job, random data, a random world, and a random order of everything.
//!
//! A `Simulation` steps a whole job with the parts that production runs, on a simulated disk. The job's graph and its
//! expected output come from a `Recipe`. The `Outside` is what sinks commit to: nothing there can be taken back, so a
//! record too many, or one that no durable checkpoint covers, is found at once. The `Witness` is told what the other
//! operators see, which must fit together over subtasks, restores and processes.
//!
//! # What is drawn
//!
//! | thing | how often |
//! |---|---|
//! | 1 to 3 sources of up to 80 records each, with or without a rate, so that they end at different times | each job |
//! | 1 to 6 steps: map, filter, repeat, union, and with state: count, windows, lists, union lists, broadcasts, timers of processing time | each job; 1 of 6 has no state |
//! | exactly once, and at least once | all but 1 of 12 jobs |
//! | unaligned checkpoints | 3 of 5 that are exactly once; half of them begin aligned |
//! | whether the barriers of an exchange can overtake | 3 of 4 exchanges |
//! | up to 3 checkpoints at a time; a least pause | the others; 1 of 4 jobs |
//! | an interval of 3 to 100 ms; none | 7 of 8 jobs; the others |
//! | timeouts of 20 ms to 2 s; 0, 2 or any number of failures tolerated; 1 to 3 checkpoints retained | each job |
//! | a restart strategy: none, fixed delay, failure rate, exponential delay, or the default | each job |
//! | up to 11 incidents, after every 10 to 200 actions | each job |
//! | an incident is a crash, a failing, torn or stopped disk, an outside that fails, a process that takes the job over while the other goes on, a second one that is to be refused, a cancellation, a checkpoint, a stop, a savepoint, a savepoint disposed of | 16, 12, 8, 12, 4, 4, 4, 12, 24, 4 of 100 |
//! | a stop has a savepoint; is drained | 2 of 3 stops; 1 of 3 |
//! | the machine loses its power when the process ends | 1 of 3 ends |
//! | another parallelism, from 1 to 3 | each start |
//! | listings lie about names that change meanwhile, and show those of what is gone | 1 of 4 starts |
//! | a start from a savepoint or a retained checkpoint, with what is there left behind | 1 of 3 starts |
//! | that savepoint is claimed; was moved before; the store is empty | half of them |
//! | which kinds of action are slow, which subtasks are, how the clock jumps, how long a step is | each job |
//!
//! # What must hold
//!
//! After each action the invariants of the coordinator and of every gate. At each commit that a durable manifest covers
//! it, and that the process has not lost the job. After each removal that every manifest has all it refers to. At each
//! recovery that it is from the newest checkpoint, and that no id is used again. When nothing can happen, that nobody sleeps
//! who could work. At the end that the output is what the input leads to, once; that nothing is open outside; that nothing
//! lies in the store but what is retained, and beside it nothing but savepoints, every byte of them sound.
//!
//! `Coverage` counts what came to pass, and the test run fails when something did too seldom. `scripts/simulate.sh` replays
//! a seed or explores new ones.

mod coverage;
mod incidents;
mod operators;
mod outside;
mod process;
mod promises;
mod recipe;
mod scenario;
mod shelf;
mod simulation;
mod start;
mod tests;
mod trace;
mod witness;
