//! What controls a running job, from outside.

use actix::Addr;

use crate::runtime::coordinator::Request;
use crate::runtime::coordinator_actor::CoordinatorActor;

/// Controls a running job, from any thread. Once the job has ended, nothing that is asked for has an effect.
#[derive(Clone)]
pub struct JobControl(pub(super) Addr<CoordinatorActor>);

impl JobControl {
    /// Asks for a checkpoint now.
    pub fn checkpoint(&self) {
        self.0.do_send(Request::Checkpoint);
    }

    /// Asks the job to stop with a last checkpoint, from which it can be resumed.
    pub fn stop(&self) {
        self.0.do_send(Request::Stop);
    }

    /// Asks the job to end at once; it can be resumed from its newest checkpoint.
    pub fn cancel(&self) {
        self.0.do_send(Request::Cancel);
    }
}
