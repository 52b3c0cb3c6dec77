//! Streams by key, and what needs one: operators that keep state for each key.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{OperatorId, Row};
use crate::operator::{KeyedProcess, KeyedReduce, Operator, ProcessFunction};
use crate::snapshot::BatchCodec;
use crate::state::{Archived, Seal, StateKey, StateSpec, StateValue};

use super::builder::Stream;
use super::exchange::{KeyExchange, RowCodec, RowPartitioner};
use super::job_graph::Partitioning;

/// The state that [`KeyedStream::reduce`] keeps its values in.
const REDUCE_STATE: &str = "reduce";

/// A stream whose records meet, key by key, in the subtask that owns the key.
pub struct KeyedStream<T, K, F> {
    stream: Stream<T>,
    key: F,
    /// Stores the stream's records in a checkpoint, if they can be.
    codec: Option<Arc<dyn BatchCodec>>,
    types: PhantomData<fn() -> K>,
}

impl<T, K, F> KeyedStream<T, K, F>
where
    T: Row,
    K: StateKey,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// The records of `stream`, each with the key that `key` makes of it.
    pub(super) fn new(stream: Stream<T>, key: F) -> Self {
        Self {
            stream,
            key,
            codec: None,
            types: PhantomData,
        }
    }

    /// Lets the barriers of unaligned checkpoints overtake the records of this exchange. Those that are overtaken go into
    /// the checkpoint, so their type must be one that can be stored. Without this the exchange stays aligned: its records
    /// are worked off before a checkpoint completes, however long that takes under back-pressure.
    ///
    /// It has an effect with the setting `unaligned` alone. A job that resumes from an unaligned checkpoint needs the
    /// type to be what it was; to change it, take a savepoint, which holds no records in flight.
    #[must_use]
    pub fn unaligned(mut self) -> Self
    where
        T: StateValue,
    {
        self.codec = Some(Arc::new(RowCodec::<T>::new()));
        self
    }

    fn partitioning(&self) -> Partitioning {
        let key = self.key.clone();
        Partitioning::KeyExchange(KeyExchange {
            partitioner: Arc::new(move |targets| {
                Box::new(RowPartitioner::<T, K, F>::new(targets, key.clone()))
            }),
            codec: self.codec.clone(),
        })
    }

    /// Keeps one value for each key, and emits what `update` makes of each record and the value of its key.
    ///
    /// A key's value begins as what `initial` makes of its first record; `update` then sees that record too, and
    /// changes the value in place, where it lies archived: a number is set through the [`Seal`], a struct's fields one
    /// by one. What has a varying size, such as a string, cannot be changed so; an [`Self::operator`] can put it anew.
    ///
    /// ```
    /// use floodmark::connectors::{MemoryOutput, MemorySink, MemorySource};
    /// use floodmark::graph::StreamBuilder;
    ///
    /// // For each word, the length of the longest text behind it so far.
    /// let output = MemoryOutput::<(String, u64)>::default();
    /// let texts = vec![("a", "once"), ("b", "upon"), ("a", "a time")];
    /// let job = StreamBuilder::new("longest");
    /// job.source("texts", move || MemorySource::of_rows(texts.clone(), 1))
    ///     .key_by(|(word, _): &(&'static str, &'static str)| word.to_string())
    ///     .reduce(
    ///         "longest",
    ///         |_| 0_u64,
    ///         |(word, text), mut longest| {
    ///             *longest = longest.to_native().max(text.len() as u64).into();
    ///             (word.to_string(), longest.to_native())
    ///         },
    ///     )
    ///     .sink("out", {
    ///         let output = output.clone();
    ///         move || Ok(MemorySink::of_rows(&output))
    ///     });
    /// # use floodmark::engine::{Engine, EngineSettings};
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = EngineSettings::default();
    /// # settings.checkpoint.storage = folder.path().display().to_string();
    /// # Engine::new(job.build()?, settings).start()?.wait();
    /// let rows = [("a", 4), ("b", 4), ("a", 6)].map(|(word, length)| (word.to_owned(), length));
    /// assert_eq!(output.rows(), rows);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reduce<V: StateValue, U: Row>(
        &self,
        id: impl Into<OperatorId>,
        initial: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
        update: impl Fn(&T, Seal<'_, Archived<V>>) -> U + Clone + Send + Sync + 'static,
    ) -> Stream<U> {
        self.reduce_with_state(id, REDUCE_STATE, initial, update)
    }

    /// Like [`Self::reduce`], in a state of one's own: its [`StateSpec`] says how long values last, and what becomes of those
    /// that were stored with a former type. What [`Self::reduce`] keeps is in the state `reduce`, so that a
    /// `StateSpec::new("reduce").with_time_to_live(…)` takes it up.
    pub fn reduce_with_state<V: StateValue, U: Row>(
        &self,
        id: impl Into<OperatorId>,
        state: impl Into<StateSpec<V>>,
        initial: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
        update: impl Fn(&T, Seal<'_, Archived<V>>) -> U + Clone + Send + Sync + 'static,
    ) -> Stream<U> {
        let key = self.key.clone();
        let state = state.into();
        self.stream
            .then(id.into(), "reduce", &self.partitioning(), move || {
                Ok(KeyedReduce::new(
                    state.clone(),
                    key.clone(),
                    initial.clone(),
                    update.clone(),
                ))
            })
    }

    /// Calls a [`ProcessFunction`] with each record and its key, and at the times that it has registered for keys. `make`
    /// is called once for each subtask, on that subtask's thread.
    ///
    /// ```
    /// use floodmark::connectors::{MemoryOutput, MemorySink, MemorySource};
    /// use floodmark::error::{Error, ErrorKind, Result};
    /// use floodmark::graph::StreamBuilder;
    /// use floodmark::model::EventTime;
    /// use floodmark::operator::{OperatorContext, ProcessContext, ProcessFunction};
    /// use floodmark::state::{Timer, ValueState};
    ///
    /// /// A visit to a page: who, and when in milliseconds.
    /// type Visit = (String, i64);
    ///
    /// /// How long after their last visit somebody counts as gone.
    /// const TIMEOUT_MILLIS: i64 = 100;
    ///
    /// /// Emits who has gone, and when the last visit was.
    /// #[derive(Default)]
    /// struct Departures {
    ///     last_visit: Option<ValueState<String, i64>>,
    /// }
    ///
    /// impl Departures {
    ///     fn last_visit(&self) -> Result<&ValueState<String, i64>> {
    ///         let not_open = || Error::new(ErrorKind::Bug, "the function is not open");
    ///         self.last_visit.as_ref().ok_or_else(not_open)
    ///     }
    /// }
    ///
    /// impl ProcessFunction for Departures {
    ///     type In = Visit;
    ///     type Key = String;
    ///     type Out = Visit;
    ///
    ///     fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
    ///         self.last_visit = Some(context.keyed_state.value_state("last_visit")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         visitor: &String,
    ///         (_, time): Visit,
    ///         context: &mut ProcessContext<'_, String, Visit>,
    ///     ) -> Result<()> {
    ///         if let Some(last) = self.last_visit()?.get(visitor)? {
    ///             context.delete_event_time(EventTime(last + TIMEOUT_MILLIS))?;
    ///             // The watermark comes behind the records, so the timer may not have fired yet.
    ///             if time >= last + TIMEOUT_MILLIS {
    ///                 context.emit((visitor.clone(), last));
    ///             }
    ///         }
    ///         self.last_visit()?.put(visitor, &time)?;
    ///         context.register_event_time(EventTime(time + TIMEOUT_MILLIS))
    ///     }
    ///
    ///     fn on_timer(
    ///         &mut self,
    ///         visitor: &String,
    ///         _timer: Timer,
    ///         context: &mut ProcessContext<'_, String, Visit>,
    ///     ) -> Result<()> {
    ///         if let Some(last) = self.last_visit()?.get(visitor)? {
    ///             self.last_visit()?.remove(visitor)?;
    ///             context.emit((visitor.clone(), last));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let visits = [("ann", 10), ("bob", 20), ("ann", 90), ("ann", 400)];
    /// let visits: Vec<Visit> = visits.map(|(visitor, time)| (visitor.to_owned(), time)).into();
    /// let output = MemoryOutput::<Visit>::default();
    /// let written = output.clone();
    /// let job = StreamBuilder::new("departures");
    /// job.source("visits", move || {
    ///     MemorySource::of_timed_rows(visits.clone(), 1, |(_, time)| EventTime(*time))
    /// })
    /// .key_by(|(visitor, _): &Visit| visitor.clone())
    /// .process("departures", || Ok(Departures::default()))
    /// .sink("out", move || Ok(MemorySink::of_rows(&written)));
    /// # use floodmark::engine::{Engine, EngineSettings};
    /// # let folder = tempfile::tempdir()?;
    /// # let settings = EngineSettings::default().with_storage(folder.path().to_string_lossy());
    /// # Engine::new(job.build()?, settings).start()?.wait();
    /// let departures = [("ann", 90), ("bob", 20), ("ann", 400)];
    /// assert_eq!(output.rows(), departures.map(|(visitor, time)| (visitor.to_owned(), time)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<P: ProcessFunction<In = T, Key = K> + 'static>(
        &self,
        id: impl Into<OperatorId>,
        make: impl Fn() -> Result<P> + Send + Sync + 'static,
    ) -> Stream<P::Out> {
        let key = self.key.clone();
        self.stream
            .then(id.into(), "process", &self.partitioning(), move || {
                Ok(KeyedProcess::new(make()?, key.clone()))
            })
    }

    /// Adds an operator of your own, which keeps its state by the stream's key. `make` is called once for each
    /// subtask, on that subtask's thread.
    ///
    /// ```
    /// use floodmark::connectors::{MemoryOutput, MemorySink, MemorySource};
    /// use floodmark::error::{Error, ErrorKind, Result};
    /// use floodmark::graph::StreamBuilder;
    /// use floodmark::model::Batch;
    /// use floodmark::operator::{Operator, OperatorContext, Output};
    /// use floodmark::state::ValueState;
    ///
    /// /// Passes on the first record of each key.
    /// #[derive(Default)]
    /// struct Distinct {
    ///     seen: Option<ValueState<u64, u8>>,
    /// }
    ///
    /// impl Operator for Distinct {
    ///     fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
    ///         self.seen = Some(context.keyed_state.value_state("seen")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(&mut self, batch: Batch, output: &mut Output) -> Result<()> {
    ///         let not_open = || Error::new(ErrorKind::Bug, "the operator is not open");
    ///         let seen = self.seen.as_ref().ok_or_else(not_open)?;
    ///         let mut first = Vec::new();
    ///         for key in batch.into_rows::<u64>()? {
    ///             if seen.get(&key)?.is_none() {
    ///                 seen.put(&key, &1)?;
    ///                 first.push(key);
    ///             }
    ///         }
    ///         output.emit(Batch::from_rows(first));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let output = MemoryOutput::<u64>::default();
    /// let written = output.clone();
    /// let job = StreamBuilder::new("distinct");
    /// job.source("numbers", || MemorySource::of_rows(vec![5_u64, 7, 5, 5, 7, 9], 1))
    ///     .key_by(|number: &u64| *number)
    ///     .operator::<u64, _>("distinct", || Ok(Distinct::default()))
    ///     .sink("out", move || Ok(MemorySink::of_rows(&written)));
    /// # use floodmark::engine::{Engine, EngineSettings};
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = EngineSettings::default();
    /// # settings.checkpoint.storage = folder.path().display().to_string();
    /// # Engine::new(job.build()?, settings).start()?.wait();
    /// assert_eq!(output.rows(), [5, 7, 9]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn operator<U: Row, O: Operator + 'static>(
        &self,
        id: impl Into<OperatorId>,
        make: impl Fn() -> Result<O> + Send + Sync + 'static,
    ) -> Stream<U> {
        self.stream
            .then(id.into(), "operator", &self.partitioning(), make)
    }
}
