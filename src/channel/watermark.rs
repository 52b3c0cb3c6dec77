//! The watermark of a subtask: the smallest of its inputs' watermarks.

use crate::model::EventTime;

/// Follows the watermarks of all inputs, and says when their minimum advances.
#[derive(Debug)]
pub(super) struct WatermarkTracker {
    inputs: Vec<EventTime>,
    /// What was last said to have been reached.
    reached: EventTime,
}

impl WatermarkTracker {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            inputs: vec![EventTime::MIN; inputs],
            reached: EventTime::MIN,
        }
    }

    /// Input `input` has reached `time`, or has ended when that is [`EventTime::MAX`]. An input's watermark never
    /// goes back, whatever it says. Returns the common watermark if it has advanced.
    pub(super) fn advance(&mut self, input: usize, time: EventTime) -> Option<EventTime> {
        let of_input = &mut self.inputs[input];
        *of_input = time.max(*of_input);
        let common = self.inputs.iter().copied().min()?;
        (common > self.reached).then(|| {
            self.reached = common;
            common
        })
    }
}
