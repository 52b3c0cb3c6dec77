//! What the environment of the process says.

use std::fmt;

/// What the environment of the process says. Only `main` reads it.
#[derive(Clone, Default)]
pub struct Environment {
    /// `FLOODMARK_LOG`: what is logged from which module.
    pub log_filter: Option<String>,
    /// `FLOODMARK_TOKEN`: the token that requests to a running job must bear.
    pub token: Option<String>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        formatter
            .debug_struct("Environment")
            .field("log_filter", &self.log_filter)
            .finish_non_exhaustive()
    }
}
