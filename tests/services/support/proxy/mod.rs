//! Proxies that stand between a job and a server: they see every request and answer pass, and can do something about it
//! at exactly that moment. So a job is hit between two steps of a protocol without a word of that in its own code.

mod http;
mod kafka;
mod rule;

pub(crate) use http::{http_proxy, refusal};
pub(crate) use kafka::kafka_proxy;
pub(super) use kafka::{address_bytes, replace};
pub(super) use rule::on_a_thread;
pub(crate) use rule::{Fate, Passing, Proxy};
