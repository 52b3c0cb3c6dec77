//! The secret that a request must bear.

use std::fmt;
use std::hint::black_box;

use crate::error::{Error, ErrorKind, Result};

/// The shortest token that is taken: shorter ones can be guessed.
const LENGTH_MIN: usize = 16;

/// The longest, so that a file that was named by mistake is not read as one.
const LENGTH_MAX: usize = 1024;

/// A secret that clients send as `Authorization: Bearer …`. It is never shown.
#[derive(Clone)]
pub struct BearerToken(Box<[u8]>);

impl BearerToken {
    /// Takes `text` for a token; white space around it does not count.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when it is shorter than 16 bytes, longer than 1024, or holds anything but visible
    /// ASCII. The message does not show it.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let wrong = |what: String| Err(Error::new(ErrorKind::Configuration, what));
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&text.len()) {
            return wrong(format!(
                "the token has {} characters, it must have {LENGTH_MIN} to {LENGTH_MAX}",
                text.len()
            ));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("the token holds something else than visible ASCII".to_owned());
        }
        Ok(Self(text.as_bytes().into()))
    }

    /// Whether an `Authorization` header bears this token. How long that takes does not tell how much of it is right.
    pub fn is_borne_by(&self, authorization: &str) -> bool {
        let Some((scheme, given)) = authorization.split_once(' ') else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && self.equals(given.trim().as_bytes())
    }

    /// The value of the `Authorization` header that bears it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", String::from_utf8_lossy(&self.0))
    }

    fn equals(&self, given: &[u8]) -> bool {
        let mut difference = self.0.len() ^ given.len();
        for (at, byte) in self.0.iter().enumerate() {
            let other = given.get(at).copied().unwrap_or_default();
            difference |= usize::from(byte ^ other);
        }
        black_box(difference) == 0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BearerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn only_the_token_itself_is_borne() {
        let token = BearerToken::parse(&format!(" {SECRET}\n")).unwrap();
        assert_eq!(token.authorization(), format!("Bearer {SECRET}"));
        for (authorization, expected) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer 0123456789abcdef\0", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic 0123456789abcdef", false),
            (SECRET, false),
            ("", false),
        ] {
            assert_eq!(
                token.is_borne_by(authorization),
                expected,
                "{authorization}"
            );
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        for text in [
            "",
            "short",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789äbcdef",
        ] {
            let error = BearerToken::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
            assert!(
                text.is_empty() || !error.to_string().contains(text),
                "{error}"
            );
        }
        assert!(BearerToken::parse(&"x".repeat(1025)).is_err());
        let token = BearerToken::parse(SECRET).unwrap();
        assert!(!format!("{token:?}").contains(SECRET));
    }
}
