//! Every metric's name in one place; a job's progress and log lines.
//!
//! Nothing here has a thread: the runtime writes figures, and whoever shows them says when.

mod failure_log;
mod figures;
mod logging;
mod metric;
mod progress;
mod progress_line;
mod prometheus;
mod report;
pub mod statistics;
mod status;
mod task_meter;
mod terminal_line;

pub use failure_log::ReportedFailure;
pub use figures::{format_bytes, format_count, format_duration};
pub use logging::{LogFormat, LogSettings, init_logging};
pub use metric::{Metric, MetricKind, MetricScope};
pub use progress::Progress;
pub use progress_line::render_progress;
pub use prometheus::PrometheusText;
pub use report::{
    count, count_in_job, describe_all, observe, observe_in_job, set_gauge, set_gauge_in_job,
    set_state_gauge,
};
pub use status::{JobPhase, JobStatus, LastCheckpoint, StatusSnapshot, WatermarkGauge};
pub use task_meter::{
    Activity, TaskFigures, TaskMeter, TaskRates, TaskSample, TaskStatus, TaskTimes,
};
pub use terminal_line::TerminalLine;
