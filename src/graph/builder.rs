//! The builder of typed jobs: streams of Rust values, closures and custom operators.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{OperatorId, Row};
use crate::operator::{FilterRows, FlatMapRows, KeyedReduce, MapRows, Operator, Sink, Source};
use crate::state::{Archived, Seal, StateKey, StateValue};

use super::exchange::RowPartitioner;
use super::job_graph::{Component, Edge, JobGraph, Node, Partitioning};

/// Builds the graph of a typed job.
#[derive(Clone)]
pub struct StreamBuilder {
    graph: Rc<RefCell<JobGraph>>,
}

/// A stream of values of type `T`. Reading it more than once copies its batches.
pub struct Stream<T> {
    graph: Rc<RefCell<JobGraph>>,
    /// The nodes whose output makes up the stream: more than one after a union.
    nodes: Vec<usize>,
    row: PhantomData<fn() -> T>,
}

/// A stream whose records meet, key by key, in the subtask that owns the key.
pub struct KeyedStream<T, K, F> {
    stream: Stream<T>,
    key: F,
    types: PhantomData<fn() -> K>,
}

impl StreamBuilder {
    /// A builder of a job of this name, with a parallelism of 1.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            graph: Rc::new(RefCell::new(JobGraph::new(name))),
        }
    }

    /// Sets how many subtasks each operator has.
    #[must_use]
    pub fn parallelism(self, parallelism: usize) -> Self {
        self.graph.borrow_mut().parallelism = parallelism;
        self
    }

    /// Sets the number of key groups: the largest parallelism that the job can ever have. Fixed for the life of its
    /// state.
    #[must_use]
    pub fn max_parallelism(self, max_parallelism: u16) -> Self {
        self.graph.borrow_mut().max_parallelism = max_parallelism;
        self
    }

    /// Adds a source. `make` is called once for each subtask, on that subtask's thread.
    pub fn source<T: Row, S: Source + 'static>(
        &self,
        id: impl Into<OperatorId>,
        make: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) -> Stream<T> {
        let component = Component::Source(Arc::new(move || Ok(Box::new(make()?) as _)));
        Stream::of_node(&self.graph, id.into(), "source", component, Vec::new())
    }

    /// The finished graph.
    ///
    /// # Errors
    /// See [`JobGraph::validate`].
    pub fn build(self) -> Result<JobGraph> {
        let graph = self.graph.borrow().clone();
        graph.validate()?;
        Ok(graph)
    }
}

impl<T: Row> Stream<T> {
    fn of_node(
        graph: &Rc<RefCell<JobGraph>>,
        id: OperatorId,
        type_name: &str,
        component: Component,
        inputs: Vec<Edge>,
    ) -> Self {
        let node = graph.borrow_mut().add(Node {
            id,
            type_name: type_name.to_owned(),
            component,
            inputs,
        });
        Self {
            graph: Rc::clone(graph),
            nodes: vec![node],
            row: PhantomData,
        }
    }

    fn edges(&self, partitioning: &Partitioning) -> Vec<Edge> {
        let edge = |from: &usize| Edge {
            from: *from,
            partitioning: partitioning.clone(),
        };
        self.nodes.iter().map(edge).collect()
    }

    fn then<U: Row, O: Operator + 'static>(
        &self,
        id: OperatorId,
        type_name: &str,
        partitioning: &Partitioning,
        make: impl Fn() -> Result<O> + Send + Sync + 'static,
    ) -> Stream<U> {
        let component = Component::Operator(Arc::new(move || Ok(Box::new(make()?) as _)));
        Stream::of_node(
            &self.graph,
            id,
            type_name,
            component,
            self.edges(partitioning),
        )
    }

    /// Adds an operator of your own, which takes batches of `T` and emits batches of `U`. `make` is called once for
    /// each subtask, on that subtask's thread.
    pub fn operator<U: Row, O: Operator + 'static>(
        &self,
        id: impl Into<OperatorId>,
        make: impl Fn() -> Result<O> + Send + Sync + 'static,
    ) -> Stream<U> {
        self.then(id.into(), "operator", &Partitioning::Forward, make)
    }

    /// Turns each record into another.
    pub fn map<U: Row>(
        &self,
        id: impl Into<OperatorId>,
        map: impl Fn(T) -> U + Clone + Send + Sync + 'static,
    ) -> Stream<U> {
        self.then(id.into(), "map", &Partitioning::Forward, move || {
            Ok(MapRows::new(map.clone()))
        })
    }

    /// Keeps the records for which `keep` says so.
    pub fn filter(
        &self,
        id: impl Into<OperatorId>,
        keep: impl Fn(&T) -> bool + Clone + Send + Sync + 'static,
    ) -> Stream<T> {
        self.then(id.into(), "filter", &Partitioning::Forward, move || {
            Ok(FilterRows::new(keep.clone()))
        })
    }

    /// Turns each record into any number of others.
    pub fn flat_map<U: Row, I: IntoIterator<Item = U> + 'static>(
        &self,
        id: impl Into<OperatorId>,
        map: impl Fn(T) -> I + Clone + Send + Sync + 'static,
    ) -> Stream<U> {
        self.then(id.into(), "flat_map", &Partitioning::Forward, move || {
            Ok(FlatMapRows::new(map.clone()))
        })
    }

    /// The records of this stream and of `other`, in no order between the two.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.nodes.extend(other.nodes);
        self
    }

    /// Brings all records of one key together: whatever follows sees them in one subtask, those of each upstream
    /// subtask in their order.
    pub fn key_by<K: StateKey, F: Fn(&T) -> K + Clone + Send + Sync + 'static>(
        self,
        key: F,
    ) -> KeyedStream<T, K, F> {
        KeyedStream {
            stream: self,
            key,
            types: PhantomData,
        }
    }

    /// Adds a sink. `make` is called once for each subtask, on that subtask's thread.
    pub fn sink<S: Sink + 'static>(
        &self,
        id: impl Into<OperatorId>,
        make: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) {
        self.graph.borrow_mut().add(Node {
            id: id.into(),
            type_name: "sink".to_owned(),
            component: Component::Sink(Arc::new(move || Ok(Box::new(make()?) as _))),
            inputs: self.edges(&Partitioning::Forward),
        });
    }
}

impl<T, K, F> KeyedStream<T, K, F>
where
    T: Row,
    K: StateKey,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    fn partitioning(&self) -> Partitioning {
        let key = self.key.clone();
        Partitioning::KeyExchange(Arc::new(move |targets| {
            Box::new(RowPartitioner::<T, K, F>::new(targets, key.clone()))
        }))
    }

    /// Keeps one value for each key, and emits what `update` makes of each record and the value of its key.
    ///
    /// A key's value begins as what `initial` makes of its first record; `update` then sees that record too, and
    /// changes the value in place.
    pub fn reduce<V: StateValue, U: Row>(
        &self,
        id: impl Into<OperatorId>,
        initial: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
        update: impl Fn(&T, Seal<'_, Archived<V>>) -> U + Clone + Send + Sync + 'static,
    ) -> Stream<U> {
        let key = self.key.clone();
        self.stream
            .then(id.into(), "reduce", &self.partitioning(), move || {
                Ok(KeyedReduce::new(
                    "reduce",
                    key.clone(),
                    initial.clone(),
                    update.clone(),
                ))
            })
    }

    /// Adds an operator of your own, which keeps its state by the stream's key. `make` is called once for each
    /// subtask, on that subtask's thread.
    pub fn operator<U: Row, O: Operator + 'static>(
        &self,
        id: impl Into<OperatorId>,
        make: impl Fn() -> Result<O> + Send + Sync + 'static,
    ) -> Stream<U> {
        self.stream
            .then(id.into(), "operator", &self.partitioning(), make)
    }
}
