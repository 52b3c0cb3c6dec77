//! A whole job file.

use std::path::PathBuf;
use std::sync::Arc;

use super::component::{ComponentRole, ComponentSection, judge_name};
use super::components::Components;
use super::diagnostic::{ConfigError, Problems};
use super::fields::{Fields, Refusal, Verdict};
use super::restart::{RestartSection, read_restart};
use super::s3::read_s3;
use super::settings::{CheckpointSection, JobSettings, LinkSection, ServerSection, StateSection};
use super::source_text::SourceText;
use super::units::HumanDuration;
use crate::model::MAX_PARALLELISM_LIMIT;

/// The longest history of checkpoints: it is written anew, whole, after a checkpoint.
const HISTORY_MAX_LIMIT: usize = 1000;

/// A job as its file describes it. The parts fit together; what the options of the components mean is not checked
/// yet.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// The file's name, as the user gave it.
    pub path: String,
    /// `[job]`
    pub job: JobSettings,
    /// `[checkpoint]`
    pub checkpoint: CheckpointSection,
    /// `[state]`
    pub state: StateSection,
    /// `[restart]`
    pub restart: RestartSection,
    /// `[link]`
    pub link: LinkSection,
    /// `[server]`
    pub server: ServerSection,
    /// `[[source]]`, in the file's order.
    pub sources: Vec<ComponentSection>,
    /// `[[operator]]`, in the file's order.
    pub operators: Vec<ComponentSection>,
    /// `[[sink]]`, in the file's order.
    pub sinks: Vec<ComponentSection>,
}

impl JobFile {
    /// Reads the text of the job file `path`, which is used in messages only.
    ///
    /// # Errors
    /// Every problem of the file, with line, column and key.
    pub fn parse(path: &str, text: &str) -> Result<Self, ConfigError> {
        let text = Arc::new(SourceText::new(path, text));
        let problems = Problems::new(&text);
        let (table, syntax_errors) = text.document();
        for error in &syntax_errors {
            problems.add(error.span(), "", error.message(), None);
        }
        if !syntax_errors.is_empty() {
            // What could be read around the errors would only raise false alarms.
            return Err(problems.into_error());
        }
        let mut document = Fields::new("", table, None, &problems);
        let job = read_job(&mut document);
        let checkpoint = read_checkpoint(&mut document);
        let state = read_state(&mut document);
        let restart = read_restart(&mut document);
        let link = read_link(&mut document);
        let server = read_server(&mut document);
        let mut components = Components::default();
        for role in [
            ComponentRole::Source,
            ComponentRole::Operator,
            ComponentRole::Sink,
        ] {
            components.read(role, &mut document, &text);
        }
        document.finish();
        components.check_wiring(&problems);
        let [sources, operators, sinks] = components.by_role();
        problems.into_result(Self {
            path: path.to_owned(),
            job,
            checkpoint,
            state,
            restart,
            link,
            server,
            sources,
            operators,
            sinks,
        })
    }
}

// When a value has a problem, these readers go on with its default: the file as a whole is refused in the end.

fn read_job(document: &mut Fields<'_, '_>) -> JobSettings {
    let mut fields = Fields::of_section("job", document);
    let name: Option<String> = fields.require("name", |name: &String| judge_name(name));
    let mut job = JobSettings::named(name.unwrap_or_default());
    fields.set(
        "max_parallelism",
        &mut job.max_parallelism,
        |groups: &u16| match groups {
            1..=MAX_PARALLELISM_LIMIT => Ok(()),
            _ => Err(Refusal::new(format!(
                "must be from 1 to {MAX_PARALLELISM_LIMIT}"
            ))),
        },
    );
    let groups = job.max_parallelism;
    fields.set(
        "parallelism",
        &mut job.parallelism,
        |parallelism: &usize| match *parallelism {
            0 => Err(Refusal::new("must be 1 or more")),
            parallelism if parallelism > usize::from(groups) => {
                let message = format!("must not be more than max_parallelism, which is {groups}");
                Err(Refusal::new(message))
            }
            _ => Ok(()),
        },
    );
    fields.finish();
    job
}

fn read_checkpoint(document: &mut Fields<'_, '_>) -> CheckpointSection {
    let mut fields = Fields::of_section("checkpoint", document);
    let mut checkpoint = CheckpointSection::default();
    let no_interval = "leave interval out to take the final checkpoint only";
    let interval = fields.read("interval", |interval: &HumanDuration| {
        judge_not_zero(&interval.0).map_err(|refusal| refusal.with_hint(no_interval))
    });
    checkpoint.interval = interval.map(|interval| interval.0);
    fields.set("mode", &mut checkpoint.mode, |_| Ok(()));
    fields.set_duration("timeout", &mut checkpoint.timeout, judge_not_zero);
    fields.set_duration("min_pause", &mut checkpoint.min_pause, |_| Ok(()));
    fields.set(
        "max_concurrent",
        &mut checkpoint.max_concurrent,
        judge_not_zero,
    );
    fields.set_duration("aligned_timeout", &mut checkpoint.aligned_timeout, |_| {
        Ok(())
    });
    let others = checkpoint.clone();
    fields.set("unaligned", &mut checkpoint.unaligned, |unaligned| {
        let section = CheckpointSection {
            unaligned: *unaligned,
            ..others.clone()
        };
        section.check_unaligned().map_err(Refusal::new)
    });
    fields.set(
        "tolerable_failures",
        &mut checkpoint.tolerable_failures,
        |_| Ok(()),
    );
    fields.set("retain", &mut checkpoint.retain, judge_not_zero);
    fields.set("on_cancel", &mut checkpoint.on_cancel, |_| Ok(()));
    fields.set(
        "history_max",
        &mut checkpoint.history_max,
        |kept: &usize| match *kept {
            1..=HISTORY_MAX_LIMIT => Ok(()),
            _ => Err(Refusal::new(format!(
                "must be from 1 to {HISTORY_MAX_LIMIT}"
            ))),
        },
    );
    fields.set("storage", &mut checkpoint.storage, |text: &String| {
        judge_not_empty(text)
    });
    checkpoint.savepoint_dir = fields.read("savepoint_dir", |text: &String| judge_not_empty(text));
    fields.set_duration("lease", &mut checkpoint.lease, judge_not_zero);
    checkpoint.s3 = read_s3(&mut fields);
    fields.finish();
    checkpoint
}

fn read_state(document: &mut Fields<'_, '_>) -> StateSection {
    let mut fields = Fields::of_section("state", document);
    let mut state = StateSection::default();
    fields.set("backing", &mut state.backing, |_| Ok(()));
    fields.set("local_recovery", &mut state.local_recovery, |_| Ok(()));
    state.directory = fields
        .read("directory", |text: &String| judge_not_empty(text))
        .map(PathBuf::from);
    fields.finish();
    state
}

fn read_link(document: &mut Fields<'_, '_>) -> LinkSection {
    let mut fields = Fields::of_section("link", document);
    let mut link = LinkSection::default();
    fields.set("rows_max", &mut link.rows_max, judge_not_zero);
    fields.set("elements_max", &mut link.elements_max, judge_not_zero);
    fields.finish();
    link
}

fn read_server(document: &mut Fields<'_, '_>) -> ServerSection {
    let mut fields = Fields::of_section("server", document);
    let mut server = ServerSection::default();
    fields.set("enabled", &mut server.enabled, |_| Ok(()));
    fields.set("address", &mut server.address, |_| Ok(()));
    server.token_file = fields
        .read("token_file", |text: &String| judge_not_empty(text))
        .map(PathBuf::from);
    fields.finish();
    server
}

fn judge_not_zero<T: Default + PartialEq>(value: &T) -> Verdict {
    if *value == T::default() {
        return Err(Refusal::new("must be more than 0"));
    }
    Ok(())
}

fn judge_not_empty(text: &str) -> Verdict {
    if text.is_empty() {
        return Err(Refusal::new("must not be empty"));
    }
    Ok(())
}
