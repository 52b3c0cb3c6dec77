//! What several subjects share: where the servers are, topics to write and to read.

mod servers;
mod topic;

pub(crate) use servers::{kafka_address, s3_endpoint, s3_place};
pub(crate) use topic::{ANSWER_MAX, Message, Topic, transactional};
