//! Tests of keyed state as a whole: against a plain map, across restores, and with damaged bytes.

mod chain;
mod damage;
mod kinds;
mod limits;
mod local;
mod model;
mod rescale;
mod subject;
mod time_to_live;
mod timers;
