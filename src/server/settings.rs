//! Where the server listens, who may ask it, and how much of anything it takes.

use std::net::SocketAddr;
use std::time::Duration;

use super::bearer_token::BearerToken;
use crate::error::{Error, ErrorKind, Result};

/// How many connections there are at once. More have to wait.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// The most bytes that a request's body may have: requests are small objects.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024;

/// How long a client may take to send a request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How many requests of a kind can be under way at once: a checkpoint or savepoint each.
pub(super) const TRIGGERS_PENDING_MAX: usize = 64;

/// How many outcomes of requests are kept for those who ask for them later.
pub(super) const TRIGGERS_KEPT_MAX: usize = 256;

/// How long the end of the server waits for answers that are being written, in seconds. What they wait for has been
/// decided by then, so only a client that does not read is ever waited for.
pub(super) const SHUTDOWN_TIMEOUT_SECONDS: u64 = 2;

/// How often histograms are tidied up.
pub(super) const TIDY_INTERVAL: Duration = Duration::from_secs(5);

/// Where the server listens, and who may ask it.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The address; port 0 lets the system choose one.
    pub(super) address: SocketAddr,
    /// What every request must bear.
    pub(super) token: Option<BearerToken>,
}

impl ServerSettings {
    /// The settings of a server at `address`.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when others than this machine can reach the address and there is no token.
    pub fn new(address: SocketAddr, token: Option<BearerToken>) -> Result<Self> {
        if token.is_none() && !address.ip().is_loopback() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "server.address: other machines can reach {address}, so server.token_file or the environment \
                     variable FLOODMARK_TOKEN must give a token, or take a loopback address such as 127.0.0.1:0"
                ),
            ));
        }
        Ok(Self { address, token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_needs_no_token() {
        let check = |address: &str, with_token: bool, expected: bool| {
            let token = with_token.then(|| BearerToken::parse("0123456789abcdef").unwrap());
            let settings = ServerSettings::new(address.parse().unwrap(), token);
            assert_eq!(settings.is_ok(), expected, "{address}");
            if let Err(error) = settings {
                assert_eq!(error.kind(), ErrorKind::Configuration);
                assert!(error.to_string().starts_with("server.address: "), "{error}");
            }
        };
        check("127.0.0.1:0", false, true);
        check("127.9.9.9:80", false, true);
        check("[::1]:8081", false, true);
        check("0.0.0.0:8081", false, false);
        check("[::]:8081", false, false);
        check("192.168.1.2:8081", false, false);
        check("0.0.0.0:8081", true, true);
    }
}
