//! What was in flight at the checkpoint that a job resumes from, put back before all that its links will bring.

use crate::channel::InFlight;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::ExchangeTargets;
use crate::snapshot::{RestoredInFlight, decode_section};

use super::wiring::InputWiring;

/// Puts what was in flight in front of the links of subtask `index`. At another parallelism than the checkpoint's each
/// subtask takes the records whose keys it owns, and no watermark: the links they spoke for are no more.
///
/// # Errors
/// [`ErrorKind::Configuration`] when the job no longer has the exchange that it was on, or that carries something else
/// now; [`ErrorKind::Corrupt`] when it cannot be read.
pub(super) fn replay(
    in_flight: Vec<RestoredInFlight>,
    is_rescaled: bool,
    inputs: &mut [InputWiring],
    index: usize,
    targets: ExchangeTargets,
) -> Result<()> {
    for restored in in_flight {
        // Rows of one key were all in flight to one subtask, so no order among them depends on the link.
        let upstream = if is_rescaled { 0 } else { restored.upstream };
        let wiring = inputs.iter_mut().find(|wiring| {
            let origin = &wiring.origin;
            (&origin.input, origin.edge, origin.upstream)
                == (&restored.input, restored.edge, upstream)
        });
        let Some(wiring) = wiring else {
            return Err(refusal(&restored, "which the operator no longer reads"));
        };
        let exchange = wiring.origin.exchange.as_ref();
        let Some((exchange, codec)) =
            exchange.and_then(|exchange| Some((exchange, exchange.codec.as_ref()?)))
        else {
            return Err(refusal(
                &restored,
                "which is no unaligned exchange any more",
            ));
        };
        if codec.schema() != restored.schema {
            let problem = format!(
                "whose records were \"{}\" and are \"{}\" now",
                restored.schema,
                codec.schema()
            );
            return Err(refusal(&restored, &problem));
        }
        let mut partitioner = (exchange.partitioner)(targets);
        let mut own = Vec::new();
        for element in decode_section(&restored.section, &**codec)? {
            match element {
                InFlight::Batch(batch) => {
                    let mut parts = partitioner.partition(batch)?;
                    let part = parts.get_mut(index).and_then(Option::take);
                    own.extend(part.map(InFlight::Batch));
                    if !is_rescaled && parts.iter().any(Option::is_some) {
                        return Err(refusal(&restored, "whose key is another one now"));
                    }
                }
                InFlight::Watermark(_) if is_rescaled => {}
                InFlight::Watermark(watermark) => own.push(InFlight::Watermark(watermark)),
            }
        }
        wiring.receiver.replay(own);
    }
    Ok(())
}

/// Records in flight would be lost, or come to the wrong place.
pub(super) fn refusal(restored: &RestoredInFlight, problem: &str) -> Error {
    Error::new(
        ErrorKind::Configuration,
        format!(
            "the checkpoint holds records in flight from \"{}\", {problem}; resume with the former job and take a \
             savepoint, which holds none, or start with --fresh",
            restored.input
        ),
    )
}

#[cfg(test)]
mod tests;
