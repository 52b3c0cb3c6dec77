//! `floodmark checkpoints verify` and `floodmark savepoint verify`

use serde::Serialize;

use super::exit_status::ExitStatus;
use super::load::load_job;
use super::offline_arguments::{VerifyArguments, VerifySnapshotArguments};
use super::output::{print, print_json};
use super::progress_bar::progress_bar;
use super::snapshots::{block_on, checkpoint_folders, open_with};
use super::text_table::{Align, render_table};
use crate::config::S3Section;
use crate::error::{Error, ErrorKind, Result};
use crate::model::CheckpointId;
use crate::snapshot::SnapshotKind;
use crate::snapshot::offline::{Finding, Verification, verify};
use crate::telemetry::{TerminalLine, format_bytes, format_count};

/// What became of one snapshot.
#[derive(Debug, Serialize)]
struct Report {
    /// Its folder.
    snapshot: String,
    kind: Option<SnapshotKind>,
    /// The id of the checkpoint or savepoint.
    id: Option<CheckpointId>,
    sound: bool,
    /// Why it could not be looked into at all.
    reason: Option<String>,
    #[serde(flatten)]
    verification: Verification,
}

/// Verifies one checkpoint of a job, or all.
pub(super) fn verify_checkpoints(
    arguments: &VerifyArguments,
    line: &TerminalLine,
) -> Result<ExitStatus> {
    let job = load_job(&arguments.job.path)?;
    let folders = block_on(checkpoint_folders(&job))?;
    let wanted: Vec<&String> = match (arguments.id, folders.last()) {
        (Some(id), _) => {
            let mut found = folders.iter().filter(|(found, _)| found.0 == id);
            found.next().map(|(_, folder)| folder).into_iter().collect()
        }
        (None, _) if arguments.all => folders.iter().map(|(_, folder)| folder).collect(),
        (None, newest) => newest.map(|(_, folder)| folder).into_iter().collect(),
    };
    if wanted.is_empty() {
        let which = arguments.id.map(|id| format!(" {id}")).unwrap_or_default();
        let message = format!("job {} has no checkpoint{which}", job.job.name);
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    let mut reports = Vec::new();
    for folder in wanted {
        reports.push(report(folder, &job.checkpoint.s3, line)?);
    }
    tell(&reports, arguments.json)
}

/// Verifies the snapshot at a path.
pub(super) fn verify_snapshot(
    arguments: &VerifySnapshotArguments,
    line: &TerminalLine,
) -> Result<ExitStatus> {
    let report = report(&arguments.snapshot.path, &S3Section::default(), line)?;
    tell(&[report], arguments.json)
}

fn report(path: &str, s3: &S3Section, line: &TerminalLine) -> Result<Report> {
    block_on(async {
        let snapshot = match open_with(path, s3).await {
            Ok(snapshot) => snapshot,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Ok(unreadable(path, &error));
            }
            Err(error) => return Err(error),
        };
        let expected = snapshot.manifest().referred_bytes();
        let mut done = 0;
        let mut progress = |bytes| {
            done += bytes;
            line.show(progress_bar("verify", done, expected));
        };
        let verification = verify(&snapshot, &mut progress).await;
        line.clear();
        let manifest = snapshot.manifest();
        Ok(Report {
            snapshot: snapshot.folder().to_string(),
            kind: Some(manifest.kind),
            id: Some(manifest.checkpoint),
            sound: verification.findings.is_empty(),
            reason: None,
            verification,
        })
    })
}

fn unreadable(path: &str, error: &Error) -> Report {
    Report {
        snapshot: path.to_owned(),
        kind: None,
        id: None,
        sound: false,
        reason: Some(error.full_message()),
        verification: Verification::default(),
    }
}

fn tell(reports: &[Report], json: bool) -> Result<ExitStatus> {
    if json {
        print_json(&reports)?;
    } else {
        let shown: Vec<String> = reports.iter().map(render).collect();
        print(&shown.join("\n\n"))?;
    }
    Ok(match reports.iter().all(|report| report.sound) {
        true => ExitStatus::Success,
        false => ExitStatus::Failed,
    })
}

fn render(report: &Report) -> String {
    let kind = report.kind.map_or("snapshot", SnapshotKind::as_str);
    let id = report.id.map(|id| format!(" {id}")).unwrap_or_default();
    let state = if report.sound { "sound" } else { "damaged" };
    let head = format!("{kind}{id} in {}: {state}", report.snapshot);
    if let Some(reason) = &report.reason {
        return format!("{head}\n{reason}");
    }
    let Verification {
        pieces,
        bytes,
        records,
        deletions,
        operator_state_items,
        findings,
        ..
    } = &report.verification;
    let counts = format!(
        "{} in {}, {} ({}), {}",
        format_bytes(*bytes),
        counted(*pieces, "section"),
        counted(*records, "record"),
        counted(*deletions, "deletion"),
        counted(*operator_state_items, "item") + " of operator state",
    );
    match findings.as_slice() {
        [] => format!("{head}\n{counts}"),
        findings => format!("{head}\n{counts}\n\n{}", render_findings(findings)),
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", format_count(count))
}

fn render_findings(findings: &[Finding]) -> String {
    let columns = [
        ("OPERATOR", Align::Left),
        ("SUBTASK", Align::Right),
        ("STATE", Align::Left),
        ("OBJECT", Align::Left),
        ("OFFSET", Align::Right),
        ("DAMAGE", Align::Left),
    ];
    let cells = |finding: &Finding| {
        vec![
            finding.operator.to_string(),
            finding.subtask.to_string(),
            finding.state.clone().unwrap_or_else(|| "-".to_owned()),
            finding.object.to_string(),
            finding.offset.to_string(),
            finding.damage.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = findings.iter().map(cells).collect();
    render_table(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OperatorId;
    use crate::storage::ObjectName;

    #[test]
    fn what_is_damaged_is_named_with_its_place() {
        let object = "shared/17-by_carrier-3-000000000000beef-0.delta".to_owned();
        let report = Report {
            snapshot: "checkpoints/flights/chk-17".to_owned(),
            kind: Some(SnapshotKind::Checkpoint),
            id: Some(CheckpointId(17)),
            sound: false,
            reason: None,
            verification: Verification {
                pieces: 1,
                bytes: 1500,
                records: 3,
                findings: vec![Finding {
                    operator: OperatorId::new("by_carrier"),
                    subtask: 3,
                    state: Some("aggregate".to_owned()),
                    object: ObjectName::try_from(object).unwrap(),
                    offset: 40,
                    damage: "it is cut off".to_owned(),
                }],
                ..Verification::default()
            },
        };
        let expected = "\
checkpoint 17 in checkpoints/flights/chk-17: damaged
1.5 kB in 1 section, 3 records (0 deletions), 0 items of operator state

OPERATOR    SUBTASK  STATE      OBJECT                                           OFFSET  DAMAGE
by_carrier        3  aggregate  shared/17-by_carrier-3-000000000000beef-0.delta      40  it is cut off";
        assert_eq!(render(&report), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][0]["offset"], 40);
        assert_eq!((&json["sound"], &json["id"]), (&false.into(), &17.into()));
    }
}
