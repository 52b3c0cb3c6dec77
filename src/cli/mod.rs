//! The command line, one file a command. Nothing here is needed to embed the engine.

mod arguments;
mod attend;
mod checkpoint_row;
mod checkpoints_diff;
mod checkpoints_history;
mod checkpoints_inspect;
mod checkpoints_list;
mod connections;
mod control;
mod control_arguments;
mod entry;
mod environment;
mod exit_status;
mod interrupts;
mod load;
mod offline_arguments;
mod output;
mod report;
mod run;
mod running_job;
mod savepoint_arguments;
mod savepoint_inspect;
mod savepoint_list;
mod savepoint_row;
mod serving;
mod shown_row;
mod snapshot_verify;
mod snapshots;
mod state_ls;
mod state_read;
mod state_rows;
mod text_table;
mod validate;

pub use entry::main;
pub use environment::Environment;
pub use exit_status::ExitStatus;
