//! Keeps the gauges that the engine sets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// The latest value of each gauge, by its name and its labels in the order in which they are given.
#[derive(Clone, Default)]
pub(crate) struct Gauges(Arc<Mutex<BTreeMap<String, f64>>>);

struct OneGauge {
    gauges: Gauges,
    name: String,
}

impl Gauges {
    /// The recorder of this process. The tests of one process share it, so each must look for an operator of its own.
    pub(crate) fn installed() -> &'static Self {
        static INSTALLED: OnceLock<Gauges> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let gauges = Self::default();
            metrics::set_global_recorder(gauges.clone()).unwrap();
            gauges
        })
    }

    /// The values of a metric for one operator's state: one for each subtask, in their order.
    pub(crate) fn of_state(&self, metric: &str, operator: &str, state: &str) -> Vec<f64> {
        let gauges = self.0.lock().unwrap();
        (0..)
            .map_while(|subtask: usize| {
                let labels = format!("operator={operator} subtask={subtask} state={state}");
                gauges.get(&format!("{metric} {labels}")).copied()
            })
            .collect()
    }
}

impl GaugeFn for OneGauge {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        let mut gauges = self.gauges.0.lock().unwrap();
        gauges.insert(self.name.clone(), value);
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let labels = key
            .labels()
            .map(|label| format!(" {}={}", label.key(), label.value()));
        Gauge::from_arc(Arc::new(OneGauge {
            gauges: self.clone(),
            name: key.name().to_owned() + &labels.collect::<String>(),
        }))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
