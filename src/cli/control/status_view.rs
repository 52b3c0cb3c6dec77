//! How a job gets on, in a few lines.

use std::time::Duration;

use serde_json::Value;

use crate::cli::text_table::{Align, render_table};
use crate::telemetry::{format_bytes, format_count, format_duration};

/// The view of a job: `details` is what `GET /jobs/{job}` says, `checkpoints` what `GET /jobs/{job}/checkpoints` does.
pub(super) fn render(details: &Value, checkpoints: &Value) -> String {
    let figures = &details["floodmark"];
    let mut lines = vec![format!(
        "job {}: {} for {}, parallelism {}, process {}",
        text(&details["name"]),
        text(&figures["phase"]),
        duration(&details["duration"]),
        details["vertices"][0]["parallelism"],
        figures["process"],
    )];
    let mut records = vec![
        format!("{} in", count(&figures["recordsIn"])),
        format!("{} out", count(&figures["recordsOut"])),
    ];
    if figures["recordsSkipped"].as_u64() != Some(0) {
        records.push(format!("{} skipped", count(&figures["recordsSkipped"])));
    }
    if let Some(watermark) = figures["watermark"].as_str() {
        records.push(format!("watermark {watermark}"));
    }
    lines.push(format!("records: {}", records.join(", ")));
    lines.push(checkpoint_line(checkpoints));
    if let Some(failure) = checkpoints["latest"]["failed"]["failure_message"].as_str() {
        let id = &checkpoints["latest"]["failed"]["id"];
        lines.push(format!("last failed checkpoint: {id}, {failure}"));
    }
    let restarts = figures["restarts"].as_u64().unwrap_or_default();
    if restarts > 0 {
        let failure = text(&figures["lastFailure"]);
        lines.push(format!(
            "restarts: {restarts}, the last one after: {failure}"
        ));
    }
    lines.push(String::new());
    lines.push(operator_table(details));
    lines.join("\n")
}

fn checkpoint_line(checkpoints: &Value) -> String {
    let counts = &checkpoints["counts"];
    let mut parts = vec![
        format!("{} completed", counts["completed"]),
        format!("{} failed", counts["failed"]),
        format!("{} in progress", counts["in_progress"]),
    ];
    let latest = &checkpoints["latest"]["completed"];
    if latest.is_object() {
        parts.push(format!(
            "last {}: {}, {}",
            latest["id"],
            duration(&latest["end_to_end_duration"]),
            format_bytes(latest["checkpointed_size"].as_u64().unwrap_or_default())
        ));
    }
    format!("checkpoints: {}", parts.join(", "))
}

fn operator_table(details: &Value) -> String {
    let columns = [
        ("OPERATORS", Align::Left),
        ("STATUS", Align::Left),
        ("IN", Align::Right),
        ("OUT", Align::Right),
        ("IN/S", Align::Right),
        ("BUSY", Align::Right),
        ("IDLE", Align::Right),
        ("BACK-PRESSURED", Align::Right),
    ];
    let vertices = details["vertices"].as_array();
    let rows: Vec<Vec<String>> = vertices
        .into_iter()
        .flatten()
        .map(|vertex| {
            let rates = &vertex["rates"];
            vec![
                text(&vertex["name"]).to_owned(),
                text(&vertex["status"]).to_lowercase(),
                count(&vertex["metrics"]["read-records"]),
                count(&vertex["metrics"]["write-records"]),
                format_count(rates["numRecordsInPerSecond"].as_f64().unwrap_or_default() as u64),
                percent(&rates["busyTimeMsPerSecond"]),
                percent(&rates["idleTimeMsPerSecond"]),
                percent(&rates["backPressuredTimeMsPerSecond"]),
            ]
        })
        .collect();
    render_table(&columns, &rows)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn count(value: &Value) -> String {
    format_count(value.as_u64().unwrap_or_default())
}

fn duration(millis: &Value) -> String {
    format_duration(Duration::from_millis(millis.as_u64().unwrap_or_default()))
}

/// Milliseconds of a second as a share.
fn percent(millis: &Value) -> String {
    format!("{:.0} %", millis.as_f64().unwrap_or_default() / 10.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn details() -> Value {
        json!({
            "name": "flights",
            "duration": 62_000,
            "vertices": [{
                "name": "numbers -> double",
                "status": "RUNNING",
                "parallelism": 2,
                "metrics": { "read-records": 1_200_000, "write-records": 999 },
                "rates": {
                    "numRecordsInPerSecond": 20_000.4,
                    "busyTimeMsPerSecond": 251.0,
                    "idleTimeMsPerSecond": 0.0,
                    "backPressuredTimeMsPerSecond": 749.0,
                },
            }],
            "floodmark": {
                "phase": "running",
                "process": 17,
                "recordsIn": 1_200_000,
                "recordsOut": 999,
                "recordsSkipped": 0,
                "watermark": null,
                "restarts": 0,
                "lastFailure": null,
            },
        })
    }

    #[test]
    fn only_what_there_is_to_say_is_said() {
        let checkpoints = json!({
            "counts": { "completed": 0, "failed": 0, "in_progress": 1 },
            "latest": { "completed": null, "failed": null },
        });
        let expected = "\
job flights: running for 1 min 2 s, parallelism 2, process 17
records: 1.2 M in, 999 out
checkpoints: 0 completed, 0 failed, 1 in progress

OPERATORS          STATUS      IN  OUT    IN/S  BUSY  IDLE  BACK-PRESSURED
numbers -> double  running  1.2 M  999  20.0 k  25 %   0 %            75 %";
        assert_eq!(render(&details(), &checkpoints), expected);
    }

    #[test]
    fn troubles_have_lines_of_their_own() {
        let mut details = details();
        details["floodmark"]["recordsSkipped"] = json!(3);
        details["floodmark"]["watermark"] = json!("2013-01-05T10:00:00Z");
        details["floodmark"]["restarts"] = json!(2);
        details["floodmark"]["lastFailure"] = json!("operator out: disk is full");
        let failed = json!({ "id": 8, "failure_message": "CHECKPOINT_EXPIRED" });
        let completed =
            json!({ "id": 7, "end_to_end_duration": 12, "checkpointed_size": 3_400_000 });
        let checkpoints = json!({
            "counts": { "completed": 7, "failed": 1, "in_progress": 0 },
            "latest": { "completed": completed, "failed": failed },
        });
        let shown = render(&details, &checkpoints);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[1],
            "records: 1.2 M in, 999 out, 3 skipped, watermark 2013-01-05T10:00:00Z"
        );
        assert_eq!(
            lines[2],
            "checkpoints: 7 completed, 1 failed, 0 in progress, last 7: 12 ms, 3.4 MB"
        );
        assert_eq!(lines[3], "last failed checkpoint: 8, CHECKPOINT_EXPIRED");
        assert_eq!(
            lines[4],
            "restarts: 2, the last one after: operator out: disk is full"
        );
    }

    /// What an older or a newer server says may lack something.
    #[test]
    fn an_answer_without_figures_is_shown_all_the_same() {
        let shown = render(&json!({}), &json!({}));
        assert!(
            shown.starts_with("job unknown: unknown for 0.0 ms"),
            "{shown}"
        );
    }
}
