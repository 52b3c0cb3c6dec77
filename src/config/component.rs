//! `[[source]]`, `[[operator]]`, `[[sink]]`: what all components have in common.

use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::fields::{Fields, Refusal, Verdict, kind_of};
use super::section::Section;
use super::source_text::SourceText;
use super::suggestion;
use crate::error::Error;
use crate::model::OperatorId;

/// One source, operator or sink of a job file.
#[derive(Clone, Debug)]
pub struct ComponentSection {
    /// Its id, unique in the job.
    pub id: OperatorId,
    /// Whether it is a source, an operator or a sink.
    pub role: ComponentRole,
    /// Its `type`: which connector or operator it is.
    pub kind: String,
    /// The components that it reads from, in the file's order; none for a source.
    pub inputs: Vec<OperatorId>,
    /// Everything else that stands in its table.
    pub options: Section,
}

/// A component's place in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentRole {
    /// Has no input.
    Source,
    /// Has inputs, and somebody reads from it.
    Operator,
    /// Has inputs, and nobody reads from it.
    Sink,
}

impl ComponentRole {
    /// The key under which the job file lists such components.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Operator => "operator",
            Self::Sink => "sink",
        }
    }
}

impl fmt::Display for ComponentRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.key())
    }
}

impl ComponentSection {
    /// The error for a `type` that is none of `known`.
    pub fn unknown_type(&self, known: &[&str]) -> Error {
        let message = format!("there is no {} of type \"{}\"", self.role, self.kind);
        let hint = suggestion::hint(&self.kind, known, "known types");
        self.options.error_at("type", message, hint.as_deref())
    }

    /// The error for a `type` that this binary was built without.
    pub fn missing_feature(&self, feature: &str) -> Error {
        let message = format!("this binary was built without type \"{}\"", self.kind);
        let hint = format!("build it with --features {feature}");
        self.options.error_at("type", message, Some(&hint))
    }

    /// Reads the element `index` of the list of `role`. Problems are noted; without an id
    /// there is no component, any other part is left empty.
    pub(super) fn read(
        role: ComponentRole,
        index: usize,
        mut fields: Fields<'_, '_>,
        text: &Arc<SourceText>,
    ) -> Option<Self> {
        let id: Option<String> = fields.require("id", |id: &String| judge_name(id));
        if let Some(id) = &id {
            fields.set_prefix(format!("{role} {id}: "));
        }
        let kind: Option<String> = fields.require("type", |_| Ok(()));
        let inputs = match role {
            ComponentRole::Source => no_inputs(&mut fields),
            ComponentRole::Operator | ComponentRole::Sink => inputs(&mut fields),
        };
        let id = OperatorId::new(id?);
        Some(Self {
            options: Section::new(Arc::clone(text), role, index, id.clone()),
            id,
            role,
            kind: kind.unwrap_or_default(),
            inputs,
        })
    }
}

/// Names become parts of paths and of messages, so they are kept plain.
pub(super) fn judge_name(name: &str) -> Verdict {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    let message = format!("\"{name}\" cannot be a name");
    Err(Refusal::new(message).with_hint("use letters, digits, - and _"))
}

fn no_inputs(fields: &mut Fields<'_, '_>) -> Vec<OperatorId> {
    if let Some(value) = fields.take("input") {
        let refusal = Refusal::new("a source has no input");
        fields.refuse(Some(value.span()), "input", refusal);
    }
    Vec::new()
}

/// One id, or a list of at least one. Empty when there is a problem.
fn inputs(fields: &mut Fields<'_, '_>) -> Vec<OperatorId> {
    let Some(value) = fields.take("input") else {
        let hint = "name the source or operator that it reads from: input = \"id\"";
        fields.missing("input", Some(hint.to_owned()));
        return Vec::new();
    };
    let span = value.span();
    match value.into_inner() {
        DeValue::String(id) => vec![OperatorId::new(id)],
        DeValue::Array(items) if items.is_empty() => {
            let refusal = Refusal::new("the list is empty");
            fields.refuse(Some(span), "input", refusal);
            Vec::new()
        }
        DeValue::Array(items) => {
            let read = |(index, item)| input_item(fields, index, item);
            let ids: Vec<Option<OperatorId>> = items.into_iter().enumerate().map(read).collect();
            ids.into_iter().collect::<Option<_>>().unwrap_or_default()
        }
        other => {
            let found = kind_of(&other);
            let refusal = Refusal::new(format!("expected an id or a list of ids, found {found}"));
            fields.refuse(Some(span), "input", refusal);
            Vec::new()
        }
    }
}

fn input_item(
    fields: &mut Fields<'_, '_>,
    index: usize,
    item: Spanned<DeValue<'_>>,
) -> Option<OperatorId> {
    let span = item.span();
    match item.into_inner() {
        DeValue::String(id) => Some(OperatorId::new(id)),
        other => {
            let refusal = Refusal::new(format!("expected an id, found {}", kind_of(&other)));
            fields.refuse(Some(span), &format!("input[{index}]"), refusal);
            None
        }
    }
}
