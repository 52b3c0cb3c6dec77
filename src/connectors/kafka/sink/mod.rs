//! The Kafka sink, exactly once.

mod back_off;
mod byte_reader;
mod committer;
mod marker;
mod pending_transaction;
mod record_log;
mod transaction_writer;
mod transactional_id;
