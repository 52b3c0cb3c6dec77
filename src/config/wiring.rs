//! Whether the components of a job fit together: ids, inputs, cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::component::{ComponentRole, ComponentSection};
use super::suggestion;
use crate::model::OperatorId;

/// A problem with one component.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which component, as an index into the list that was checked.
    pub(super) component: usize,
    /// The key that it is about.
    pub(super) key: String,
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

/// Checks how the components are connected, and returns everything that is wrong.
pub(super) fn check(components: &[ComponentSection]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let by_id = index_by_id(components, &mut faults);
    let mut read = BTreeSet::new();
    for (index, component) in components.iter().enumerate() {
        check_inputs(index, component, components, &by_id, &mut read, &mut faults);
    }
    check_unread(components, &read, &mut faults);
    check_cycles(components, &by_id, &mut faults);
    faults
}

type Index = BTreeMap<OperatorId, usize>;

fn index_by_id(components: &[ComponentSection], faults: &mut Vec<Fault>) -> Index {
    let mut by_id = Index::new();
    for (index, component) in components.iter().enumerate() {
        match by_id.get(&component.id) {
            Some(first) => faults.push(Fault {
                component: index,
                key: "id".to_owned(),
                message: format!("another {} has this id already", components[*first].role),
                hint: None,
            }),
            None => {
                by_id.insert(component.id.clone(), index);
            }
        }
    }
    by_id
}

/// Notes in `read` which components are read from, or were meant to be.
fn check_inputs(
    index: usize,
    component: &ComponentSection,
    components: &[ComponentSection],
    by_id: &Index,
    read: &mut BTreeSet<OperatorId>,
    faults: &mut Vec<Fault>,
) {
    let readable: Vec<&str> = components
        .iter()
        .filter(|other| other.role != ComponentRole::Sink && other.id != component.id)
        .map(|other| other.id.as_str())
        .collect();
    for (position, input) in component.inputs.iter().enumerate() {
        let mut refuse = |message: String, hint: Option<String>| {
            let key = match component.inputs.len() {
                1 => "input".to_owned(),
                _ => format!("input[{position}]"),
            };
            faults.push(Fault {
                component: index,
                key,
                message,
                hint,
            });
        };
        match by_id.get(input) {
            None => {
                // Who is named with a slip is not reported as unread as well.
                if let Some(meant) = suggestion::similar(input.as_str(), &readable) {
                    read.insert(OperatorId::new(meant));
                }
                let hint = suggestion::hint(input.as_str(), &readable, "known ids");
                refuse(format!("there is no source or operator \"{input}\""), hint);
            }
            Some(source) if components[*source].role == ComponentRole::Sink => {
                refuse(
                    format!("\"{input}\" is a sink, nothing can be read from it"),
                    None,
                );
            }
            Some(_) if component.inputs[..position].contains(input) => {
                refuse(format!("\"{input}\" is in the list already"), None);
            }
            Some(_) => {
                read.insert(input.clone());
            }
        }
    }
}

fn check_unread(
    components: &[ComponentSection],
    read: &BTreeSet<OperatorId>,
    faults: &mut Vec<Fault>,
) {
    let has_inputs = |component: &ComponentSection| {
        component.role == ComponentRole::Source || !component.inputs.is_empty()
    };
    // A component whose inputs could not be read may be the one that reads from this one.
    if !components.iter().all(has_inputs) {
        return;
    }
    for (index, component) in components.iter().enumerate() {
        if component.role != ComponentRole::Sink && !read.contains(&component.id) {
            faults.push(Fault {
                component: index,
                key: "id".to_owned(),
                message: "nothing reads from it".to_owned(),
                hint: Some(format!("give a sink input = \"{}\"", component.id)),
            });
        }
    }
}

/// Takes away, again and again, whatever reads only from what was taken away before. A walk against the flow among
/// the rest must end in a cycle; that is reported, taken away, and the rest is looked at again.
fn check_cycles(components: &[ComponentSection], by_id: &Index, faults: &mut Vec<Fault>) {
    let mut rest: BTreeSet<usize> = (0..components.len()).collect();
    let input_within = |index: usize, rest: &BTreeSet<usize>| {
        let mut inputs = components[index]
            .inputs
            .iter()
            .filter_map(|id| by_id.get(id));
        inputs
            .find(|input| rest.contains(input) && components[**input].role != ComponentRole::Sink)
            .copied()
    };
    loop {
        while let Some(free) = rest
            .iter()
            .copied()
            .find(|at| input_within(*at, &rest).is_none())
        {
            rest.remove(&free);
        }
        let Some(start) = rest.first().copied() else {
            return;
        };
        let mut walk = vec![start];
        let cycle = loop {
            let Some(input) = walk.last().and_then(|last| input_within(*last, &rest)) else {
                return;
            };
            if let Some(first) = walk.iter().position(|visited| *visited == input) {
                break walk.split_off(first);
            }
            walk.push(input);
        };
        let first = cycle.iter().copied().min().unwrap_or(start);
        faults.push(Fault {
            component: first,
            key: "input".to_owned(),
            message: format!(
                "reads from itself: {}",
                describe_cycle(&cycle, first, components)
            ),
            hint: None,
        });
        for index in cycle {
            rest.remove(&index);
        }
    }
}

/// The ids along the flow, from `first` back to `first`. The cycle was walked against the flow.
fn describe_cycle(cycle: &[usize], first: usize, components: &[ComponentSection]) -> String {
    let mut along: Vec<usize> = cycle.iter().rev().copied().collect();
    let start = along.iter().position(|at| *at == first).unwrap_or(0);
    along.rotate_left(start);
    along.push(first);
    let ids: Vec<&str> = along.iter().map(|at| components[*at].id.as_str()).collect();
    ids.join(" -> ")
}
