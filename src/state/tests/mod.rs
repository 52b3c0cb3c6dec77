//! Tests of keyed state as a whole: against a plain map, across restores, and with damaged bytes.

mod chain;
mod damage;
mod evolution;
mod kinds;
mod limits;
mod local;
mod local_damage;
mod local_kinds;
mod local_migration;
mod migration;
mod model;
mod noting;
mod outlet;
mod rescale;
mod subject;
mod time_to_live;
mod timers;
