//! What becomes of a panic, in an operator or in the background.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

use crate::error::{Error, ErrorKind, Result};

/// Makes an error of a panic in `call`. Whatever `call` has left half done must not be looked at any more.
pub(super) fn catch_panic<R>(call: impl FnOnce() -> Result<R>) -> Result<R> {
    #[cfg(test)]
    let call = || guard::within(call);
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(panicked(ErrorKind::Operator, panic.as_ref())))
}

/// Makes an error of a panic in work of the engine's own, done in the background. Nobody would hear of it otherwise, and
/// whoever waits for the work would wait for ever.
pub(super) async fn catch_panic_of<R, E: From<Error>>(
    work: impl Future<Output = Result<R, E>>,
) -> Result<R, E> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|panic| Err(panicked(ErrorKind::Bug, panic.as_ref()).into()))
}

fn panicked(kind: ErrorKind, panic: &(dyn Any + Send)) -> Error {
    Error::new(kind, format!("panicked: {}", panic_message(panic)))
}

/// What a panic said, as far as it said it in words.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&str>() {
        message
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        "without a message"
    }
}

/// Tells a test where a panic would be caught.
#[cfg(test)]
pub(super) mod guard {
    use std::cell::Cell;

    thread_local! {
        static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether [`super::catch_panic`] would catch a panic here.
    pub(in crate::runtime) fn is_guarded() -> bool {
        IS_GUARDED.get()
    }

    pub(super) fn within<R>(call: impl FnOnce() -> R) -> R {
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                IS_GUARDED.set(false);
            }
        }
        IS_GUARDED.set(true);
        let _end = End;
        call()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    fn check(call: fn() -> Result<()>, expected: &str) {
        let error = catch_panic(call).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Operator);
    }

    #[test]
    fn a_panic_in_the_background_is_an_error_too() {
        let work = async { panic!("at {}", 7) };
        let done: Option<Result<()>> = catch_panic_of(work).now_or_never();
        let error = done.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "panicked: at 7");
        assert_eq!(error.kind(), ErrorKind::Bug);
    }

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        check(|| panic!("plain"), "panicked: plain");
        check(|| panic!("at {}", 7), "panicked: at 7");
        check(|| panic_any(7), "panicked: without a message");
        check(
            || Err(Error::new(ErrorKind::Operator, "no panic")),
            "no panic",
        );
    }
}
