//! What several subjects share: where the servers are, proxies before them, topics to write and to read, processes.

#[expect(dead_code, reason = "the tests without servers need more of it")]
#[path = "../../end_to_end/support/job_folder.rs"]
mod job_folder;
#[expect(dead_code, reason = "the tests without servers need more of it")]
#[path = "../../end_to_end/support/process.rs"]
mod process;
mod proxy;
mod secured_broker;
mod servers;
mod topic;

pub(crate) use job_folder::JobFolder;
pub(crate) use process::{Ended, Process, signal};
pub(crate) use proxy::{Fate, Passing, Proxy, http_proxy, kafka_proxy, refusal};
pub(crate) use secured_broker::{PASSWORD, SecuredBroker};
pub(crate) use servers::{OwnS3, kafka_address, s3_endpoint, s3_place};
pub(crate) use topic::{ANSWER_MAX, Message, Topic, transactional};
