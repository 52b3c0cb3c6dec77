//! The checksum of everything that is stored: XXH3, 64 bits, seed 0.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const PREFIX: &str = "xxh3:";
const HEX_DIGITS: usize = 16;

/// An XXH3-64 checksum, written `xxh3:` and 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(pub u64);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{:016x}", self.0)
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

impl TryFrom<String> for Checksum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.strip_prefix(PREFIX)
            .filter(|digits| digits.len() == HEX_DIGITS)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| {
                format!("\"{text}\" is not a checksum of the form {PREFIX}<16 hex digits>")
            })
    }
}

/// Computes a [`Checksum`] of bytes that come in chunks.
#[derive(Default)]
pub struct ChecksumBuilder {
    state: Xxh3,
    length: u64,
}

impl ChecksumBuilder {
    /// Adds the next chunk.
    pub fn update(&mut self, chunk: &Bytes) {
        self.state.update(chunk);
        self.length += chunk.len() as u64;
    }

    /// How many bytes were added.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The checksum of all that was added.
    pub fn finish(&self) -> Checksum {
        Checksum(self.state.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_give_the_checksum_of_the_whole() {
        let whole: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut builder = ChecksumBuilder::default();
        for chunk in whole.chunks(313) {
            builder.update(&Bytes::copy_from_slice(chunk));
        }
        assert_eq!(builder.length(), 5000);
        assert_eq!(builder.finish(), Checksum::of(&whole));
    }

    #[test]
    fn the_text_form_comes_back_and_anything_else_is_refused() {
        let checksum = Checksum(0x00ab_cdef_0123_4567);
        assert_eq!(checksum.to_string(), "xxh3:00abcdef01234567");
        assert_eq!(Checksum::try_from(checksum.to_string()), Ok(checksum));
        for wrong in [
            "",
            "xxh3:",
            "xxh3:00abcdef0123456",
            "xxh3:00abcdef012345678",
            "xxh3:+0abcdef01234567",
            "crc:00abcdef01234567",
        ] {
            assert!(Checksum::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
