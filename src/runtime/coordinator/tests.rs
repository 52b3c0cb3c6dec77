//! The coordinator on its own: reports and requests in, orders and answers out.

use super::*;
use crate::channel::DeclineReason;
use crate::model::ManualClock;
use crate::runtime::committer::JobIdentity;
use crate::runtime::executor::Executor;
use crate::runtime::request::{CompletedStop, Request, StopRequest};
use crate::runtime::ticket::Ticket;
use crate::snapshot::{CheckpointStore, Retention};
use crate::storage::SimulatedDisk;

/// Whatever is to be done in the background is never done.
struct Nowhere;

impl Executor for Nowhere {
    fn spawn(&self, _task: BoxFuture<'static, ()>) {}

    fn run_blocking(
        &self,
        _work: crate::operator::BackgroundWork,
    ) -> BoxFuture<'static, crate::error::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn subtask(operator: &str, index: usize) -> SubtaskId {
    SubtaskId::new(operator.into(), index)
}

/// A job of two subtasks, which runs.
fn running() -> Coordinator {
    let clock: SharedClock = Arc::<ManualClock>::default();
    let committer = Committer::new(
        CheckpointStore::on(&SimulatedDisk::default()),
        Retention::new(1, []),
        JobIdentity {
            job: "job".to_owned(),
            max_parallelism: 8,
            graph: Vec::new(),
            chains: BTreeMap::new(),
            started_from: None,
        },
        Arc::new(Nowhere),
        SharedClock::clone(&clock),
        None,
    );
    let subtasks = [subtask("sum", 0), subtask("sum", 1)];
    let mut coordinator = Coordinator::new(
        CheckpointSettings::default(),
        committer,
        JobSubtasks {
            all: subtasks.to_vec(),
            finished: BTreeSet::new(),
        },
        CheckpointId(1),
        clock,
        JobStatus::shared(),
        Arc::new(|_| {}),
    );
    coordinator.start();
    for subtask in subtasks {
        coordinator.opened(subtask);
    }
    coordinator
}

fn report(index: usize, body: ReportBody) -> Report {
    let subtask = subtask("sum", index);
    Report { subtask, body }
}

/// What a checkpoint that was asked for is answered with when `event` has ended the job.
fn refusal(event: impl FnOnce(&mut Coordinator)) -> String {
    let mut coordinator = running();
    let (answer, ticket) = Ticket::new();
    coordinator.requested(Request::Checkpoint(answer));
    event(&mut coordinator);
    ticket.wait().unwrap_err().to_string()
}

#[test]
fn a_checkpoint_that_fails_with_the_job_says_what_the_job_failed_with() {
    let failed = |operator: &str| {
        let error = Error::new(ErrorKind::Operator, "out of luck");
        ReportBody::Failed(operator.into(), error)
    };
    assert_eq!(
        refusal(|coordinator| drop(coordinator.reported(report(1, failed("filter"))))),
        "no snapshot was taken: TASK_FAILURE: operator filter: subtask sum[1]: out of luck"
    );
    assert_eq!(
        refusal(|coordinator| coordinator.failed(
            None,
            None,
            Error::new(ErrorKind::Conflict, "somebody else has the job")
        )),
        "no snapshot was taken: JOB_FAILOVER_REGION: somebody else has the job"
    );
    assert_eq!(
        refusal(|coordinator| drop(coordinator.requested(Request::Cancel))),
        "no snapshot was taken: CHECKPOINT_COORDINATOR_SHUTDOWN"
    );
}

/// The message once said that more checkpoints had failed than are tolerated, although none need have failed before.
#[test]
fn a_stop_that_fails_is_not_said_to_be_one_failure_too_many() {
    let mut coordinator = running();
    let (answer, ticket) = Ticket::<CompletedStop>::new();
    coordinator.requested(Request::Stop(StopRequest::default(), answer));
    let declined = ReportBody::Declined(CheckpointId(1), DeclineReason::CancellationBarrier);
    coordinator.reported(report(0, declined));
    let reason = "CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER";
    assert_eq!(
        ticket.wait().unwrap_err().to_string(),
        format!("no snapshot was taken: {reason}")
    );
    assert_eq!(
        coordinator.life.failure().unwrap().to_string(),
        format!(
            "the job could not be stopped with a checkpoint, and its sources have stopped already: {reason}"
        )
    );
}
