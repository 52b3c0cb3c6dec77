//! Who may ask: the rules that every request has to pass before anything is done for it.

use std::net::{IpAddr, SocketAddr};

use super::bearer_token::BearerToken;

/// The rules of one server.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    token: Option<BearerToken>,
    /// Whether only this machine can reach the server. A page in a browser of this machine can as well, by a name that
    /// its owner lets lead here: so the name that a request was sent to is looked at.
    is_local: bool,
}

/// What the rules look at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestFacts<'a> {
    /// Whether the request changes nothing.
    pub(super) is_safe: bool,
    /// The `Host` header.
    pub(super) host: Option<&'a str>,
    /// The `Origin` header, which a browser adds to requests of a page's scripts and forms.
    pub(super) origin: Option<&'a str>,
    /// The `Sec-Fetch-Site` header, in which newer browsers say where a request comes from.
    pub(super) fetch_site: Option<&'a str>,
    /// The `Authorization` header.
    pub(super) authorization: Option<&'a str>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was sent to a name that is not this machine's.
    ForeignHost,
    /// A page of somewhere else has sent it.
    CrossOrigin,
    /// It bears no token, or a wrong one.
    Unauthorized,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, token: Option<BearerToken>) -> Self {
        Self {
            token,
            is_local: address.ip().is_loopback(),
        }
    }

    /// Whether the request is answered.
    pub(super) fn judge(&self, request: RequestFacts<'_>) -> Result<(), Refusal> {
        if self.is_local && !request.host.is_some_and(is_this_machine) {
            return Err(Refusal::ForeignHost);
        }
        if !request.is_safe && !request.is_of_this_origin() {
            return Err(Refusal::CrossOrigin);
        }
        match &self.token {
            Some(token)
                if !request
                    .authorization
                    .is_some_and(|it| token.is_borne_by(it)) =>
            {
                Err(Refusal::Unauthorized)
            }
            _ => Ok(()),
        }
    }
}

impl RequestFacts<'_> {
    /// Whether no page of somewhere else has sent it. A command line sends neither header.
    fn is_of_this_origin(&self) -> bool {
        let is_own_page = match (self.origin, self.host) {
            (None, _) => true,
            (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
            (Some(_), None) => false,
        };
        let is_own_site = self
            .fetch_site
            .is_none_or(|site| matches!(site, "same-origin" | "none"));
        is_own_page && is_own_site
    }
}

impl Refusal {
    /// What the client is told.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::ForeignHost => {
                "the request was sent to a name that is not this machine's: use localhost or its address"
            }
            Self::CrossOrigin => "a page of another origin may not change anything here",
            Self::Unauthorized => {
                "the request bears no token, or a wrong one: send Authorization: Bearer TOKEN"
            }
        }
    }
}

/// Whether the `Host` header names this machine to itself, whatever the port.
fn is_this_machine(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Bearer 0123456789abcdef";

    fn guard(address: &str, with_token: bool) -> Guard {
        let token = with_token.then(|| BearerToken::parse("0123456789abcdef").unwrap());
        Guard::new(address.parse().unwrap(), token)
    }

    fn facts(is_safe: bool, host: &'static str) -> RequestFacts<'static> {
        RequestFacts {
            is_safe,
            host: Some(host),
            ..RequestFacts::default()
        }
    }

    #[test]
    fn a_local_server_answers_to_the_names_of_this_machine_only() {
        let guard = guard("127.0.0.1:0", false);
        for host in [
            "localhost",
            "LocalHost:8081",
            "127.0.0.1",
            "127.0.0.1:8081",
            "[::1]",
            "[::1]:8081",
        ] {
            assert_eq!(guard.judge(facts(true, host)), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8081",
            "192.168.1.2:8081",
            "[::]:80",
            "localhost:x",
        ] {
            let judged = guard.judge(facts(true, host));
            assert_eq!(judged, Err(Refusal::ForeignHost), "{host}");
        }
        let nameless = RequestFacts::default();
        assert_eq!(guard.judge(nameless), Err(Refusal::ForeignHost));
    }

    #[test]
    fn a_page_of_elsewhere_may_look_but_change_nothing() {
        let guard = guard("127.0.0.1:0", false);
        let check = |origin: Option<&'static str>, site: Option<&'static str>, expected| {
            let request = RequestFacts {
                origin,
                fetch_site: site,
                ..facts(false, "127.0.0.1:8081")
            };
            assert_eq!(guard.judge(request), expected, "{request:?}");
            let safe = RequestFacts {
                is_safe: true,
                ..request
            };
            assert_eq!(guard.judge(safe), Ok(()), "{safe:?}");
        };
        let refused = Err(Refusal::CrossOrigin);
        check(None, None, Ok(()));
        check(Some("http://127.0.0.1:8081"), Some("same-origin"), Ok(()));
        check(None, Some("none"), Ok(()));
        check(Some("http://evil.example"), None, refused);
        check(Some("http://127.0.0.1:9999"), None, refused);
        check(Some("https://127.0.0.1:8081"), None, refused);
        check(Some("null"), None, refused);
        check(None, Some("cross-site"), refused);
        check(None, Some("same-site"), refused);
    }

    #[test]
    fn with_a_token_every_request_must_bear_it() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let guard = guard(address, true);
            for is_safe in [true, false] {
                let check = |authorization: Option<&'static str>, expected| {
                    let request = RequestFacts {
                        authorization,
                        ..facts(is_safe, "localhost")
                    };
                    assert_eq!(guard.judge(request), expected, "{authorization:?}");
                };
                check(None, Err(Refusal::Unauthorized));
                check(Some("Bearer wrong"), Err(Refusal::Unauthorized));
                check(Some(TOKEN), Ok(()));
            }
        }
        // Names of machines elsewhere lead to a server that others are meant to reach.
        let request = RequestFacts {
            authorization: Some(TOKEN),
            ..facts(true, "stream.example:8081")
        };
        assert_eq!(guard("0.0.0.0:0", true).judge(request), Ok(()));
    }
}
