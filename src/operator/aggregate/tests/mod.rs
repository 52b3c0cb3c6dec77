//! The aggregate operator from outside: settings and batches in, batches out.

mod harness;
mod naive;
mod results;
mod schema;
mod settings;
mod time_to_live;
