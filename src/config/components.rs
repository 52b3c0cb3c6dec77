//! All components of a job file, and the check that they fit together.

use std::sync::Arc;

use toml::de::DeValue;

use super::component::{ComponentRole, ComponentSection};
use super::diagnostic::Problems;
use super::fields::{Fields, kind_of};
use super::source_text::SourceText;
use super::wiring;

/// The components that could be read.
#[derive(Default)]
pub(super) struct Components {
    read: Vec<ComponentSection>,
    /// Whether one could not be read at all, so that nothing can be said about the graph.
    incomplete: bool,
}

impl Components {
    /// Reads all components of one role. Problems are noted.
    pub(super) fn read<'t>(
        &mut self,
        role: ComponentRole,
        document: &mut Fields<'t, '_>,
        text: &Arc<SourceText>,
    ) {
        let problems = document.problems();
        let key = role.key();
        let Some(list) = document.take(key) else {
            if role != ComponentRole::Operator {
                let message = format!("a job needs at least one {role}");
                problems.add(None, key, message, Some(format!("write [[{key}]]")));
            }
            return;
        };
        let span = list.span();
        let elements = match list.into_inner() {
            DeValue::Array(elements) => elements,
            other => {
                let message = format!("expected a list of tables, found {}", kind_of(&other));
                problems.add(Some(span), key, message, Some(format!("write [[{key}]]")));
                self.incomplete = true;
                return;
            }
        };
        for (index, element) in elements.into_iter().enumerate() {
            let span = element.span();
            let Some(fields) = Fields::of_element(format!("{role}: "), element, problems) else {
                problems.add(
                    Some(span),
                    key,
                    "expected a table",
                    Some(format!("write [[{key}]]")),
                );
                self.incomplete = true;
                continue;
            };
            match ComponentSection::read(role, index, fields, text) {
                Some(component) => self.read.push(component),
                None => self.incomplete = true,
            }
        }
    }

    /// Notes everything that is wrong with the graph.
    pub(super) fn check_wiring(&self, problems: &Problems<'_>) {
        if self.incomplete {
            return;
        }
        for fault in wiring::check(&self.read) {
            let options = &self.read[fault.component].options;
            let span = options.span_of(&fault.key);
            let key = format!("{}{}", options.prefix(), fault.key);
            problems.add(Some(span), key, fault.message, fault.hint);
        }
    }

    /// The sources, the operators and the sinks.
    pub(super) fn by_role(self) -> [Vec<ComponentSection>; 3] {
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for component in self.read {
            lists[component.role as usize].push(component);
        }
        lists
    }
}
