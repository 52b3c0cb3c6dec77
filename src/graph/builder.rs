//! The builder of typed jobs: streams of Rust values, closures and custom operators.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{OperatorId, Row};
use crate::operator::{FilterRows, FlatMapRows, MapRows, Operator, Sink, Source};
use crate::state::StateKey;

use super::job_graph::{Component, Edge, JobGraph, Node, Partitioning};
use super::keyed_stream::KeyedStream;

/// Builds the graph of a typed job.
///
/// ```
/// use floodmark::connectors::{BlackholeSink, GeneratorSource, RowCount};
/// use floodmark::graph::StreamBuilder;
///
/// // Hands out the even ones of a hundred numbers, and counts them.
/// let count = RowCount::default();
/// let counted = count.clone();
/// let job = StreamBuilder::new("evens").parallelism(2);
/// job.source("numbers", || GeneratorSource::from_fn(Some(100), 8, |_, index| index))
///     .filter("even", |number: &u64| number % 2 == 0)
///     .sink("count", move || Ok(BlackholeSink::new(counted.clone())));
/// let graph = job.build()?;
/// assert_eq!((graph.nodes().len(), graph.parallelism), (3, 2));
/// # Ok::<(), floodmark::error::Error>(())
/// ```
#[derive(Clone)]
pub struct StreamBuilder {
    graph: Rc<RefCell<JobGraph>>,
}

/// A stream of values of type `T`. Reading it more than once copies its batches; a clone is the same stream.
pub struct Stream<T> {
    graph: Rc<RefCell<JobGraph>>,
    /// What makes up the stream: more than one after a union.
    origins: Vec<Origin>,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            origins: self.origins.clone(),
            row: PhantomData,
        }
    }
}

/// A node whose output is part of a stream.
#[derive(Clone, Copy)]
struct Origin {
    node: usize,
    /// Whether every subtask of whoever reads the stream is sent all of it.
    is_broadcast: bool,
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
            origins: vec![Origin {
                node,
                is_broadcast: false,
            }],
            row: PhantomData,
        }
    }

    fn edges(&self, partitioning: &Partitioning) -> Vec<Edge> {
        let edge = |origin: &Origin| Edge {
            from: origin.node,
            partitioning: match origin.is_broadcast {
                true => Partitioning::Broadcast,
                false => partitioning.clone(),
            },
        };
        self.origins.iter().map(edge).collect()
    }

    /// Adds an operator behind the stream.
    pub(super) fn then<U: Row, O: Operator + 'static>(
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
        self.origins.extend(other.origins);
        self
    }

    /// Lets every subtask of whatever reads this stream have all of its records, those of each upstream subtask in their
    /// order. For records that all must know, such as rules: an operator keeps them in
    /// [`crate::state::BroadcastState`], the same in every subtask.
    ///
    /// In a union with other streams, and behind [`Stream::key_by`], it stays so for the records of this stream: a keyed
    /// operator is given them whatever their key. That may belong to another subtask, and then an access to keyed state
    /// by it fails: [`KeyedStream::reduce`] does not go with broadcast records.
    ///
    /// ```
    /// use floodmark::connectors::{MemoryOutput, MemorySink, MemorySource};
    /// use floodmark::graph::StreamBuilder;
    ///
    /// let output = MemoryOutput::<u64>::default();
    /// let written = output.clone();
    /// let job = StreamBuilder::new("announcement").parallelism(3);
    /// job.source::<u64, _>("numbers", || MemorySource::of_rows(vec![7_u64], 1))
    ///     .broadcast()
    ///     .sink("out", move || Ok(MemorySink::of_rows(&written)));
    /// # use floodmark::engine::{Engine, EngineSettings};
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = EngineSettings::default();
    /// # settings.checkpoint.storage = folder.path().display().to_string();
    /// # Engine::new(job.build()?, settings).start()?.wait();
    /// assert_eq!(output.rows(), [7, 7, 7]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn broadcast(mut self) -> Self {
        for origin in &mut self.origins {
            origin.is_broadcast = true;
        }
        self
    }

    /// Brings all records of one key together: whatever follows sees them in one subtask, those of each upstream
    /// subtask in their order.
    pub fn key_by<K: StateKey, F: Fn(&T) -> K + Clone + Send + Sync + 'static>(
        self,
        key: F,
    ) -> KeyedStream<T, K, F> {
        KeyedStream::new(self, key)
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
