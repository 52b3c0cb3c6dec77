//! Every metric's name in one place; a job's progress and log lines.
//!
//! Nothing here has a thread: the runtime writes figures, and whoever shows them says when.

mod figures;
mod logging;
mod metric;
mod progress;
mod progress_line;
mod status;
mod terminal_line;

pub use figures::{format_bytes, format_count, format_duration};
pub use logging::{LogFormat, LogSettings, init_logging};
pub use metric::{
    Metric, MetricKind, count, count_in_job, describe_all, observe, observe_in_job, set_gauge,
    set_state_gauge,
};
pub use progress::Progress;
pub use progress_line::render_progress;
pub use status::{JobPhase, JobStatus, LastCheckpoint, StatusSnapshot, WatermarkGauge};
pub use terminal_line::TerminalLine;
