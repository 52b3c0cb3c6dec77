//! The manifest as a file that proves itself whole.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::damage::Damage;
use super::manifest::{FORMAT_VERSION, Manifest, STATE_ENCODING};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Checksum;

/// What lies in a bucket in the place of a manifest that nobody is to write any more.
pub(super) const TOMBSTONE: &[u8] = b"{ \"tombstone\": \"nothing will be completed here\" }\n";

/// The file's content.
///
/// # Errors
/// [`ErrorKind::Bug`] when an item of operator state cannot be written as JSON.
pub(super) fn encode(manifest: &Manifest) -> Result<Bytes> {
    let text = serde_json::to_string_pretty(manifest).map_err(|error| {
        let message = format!("cannot write the manifest of {}", manifest.checkpoint);
        Error::new(ErrorKind::Bug, message).with_source(error)
    })?;
    let checksum = Checksum::of(text.as_bytes());
    Ok(format!("{{\n\"checksum\": \"{checksum}\",\n\"manifest\": {text}\n}}\n").into())
}

/// Reads what [`encode`] wrote, and nothing else.
pub(super) fn decode(content: &[u8]) -> Result<Manifest, Damage> {
    if content.is_empty() {
        return Err(Damage::EmptyManifest);
    }
    if content == TOMBSTONE {
        return Err(Damage::Incomplete);
    }
    let envelope: Envelope<'_> = serde_json::from_slice(content).map_err(torn)?;
    let text = envelope.manifest.get();
    let found = Checksum::of(text.as_bytes());
    if found != envelope.checksum {
        return Err(Damage::ManifestChecksum {
            expected: envelope.checksum,
            found,
        });
    }
    let header: Header = serde_json::from_str(text).map_err(invalid)?;
    if header.format_version != FORMAT_VERSION {
        return Err(Damage::UnknownVersion {
            version: header.format_version,
        });
    }
    let manifest: Manifest = serde_json::from_str(text).map_err(invalid)?;
    if manifest.state_encoding != STATE_ENCODING {
        return Err(Damage::UnknownEncoding {
            encoding: manifest.state_encoding,
        });
    }
    check_subtasks(&manifest)?;
    Ok(manifest)
}

/// The manifest stays the exact text that the checksum was computed of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    checksum: Checksum,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

/// What every format version will begin with, whatever else it holds.
#[derive(Deserialize)]
struct Header {
    format_version: u32,
}

fn check_subtasks(manifest: &Manifest) -> Result<(), Damage> {
    for (operator, entry) in &manifest.operators {
        let mut indexes = entry.subtasks.iter().map(|subtask| subtask.index);
        if !indexes.by_ref().eq(0..entry.subtasks.len()) {
            return Err(Damage::InvalidManifest {
                reason: format!("the subtasks of {operator} are not numbered from 0"),
            });
        }
    }
    match manifest
        .pieces()
        .find(|piece| piece.offset.checked_add(piece.length).is_none())
    {
        None => Ok(()),
        Some(piece) => Err(Damage::InvalidManifest {
            reason: format!("a piece of {} ends beyond all bounds", piece.object),
        }),
    }
}

fn torn(error: serde_json::Error) -> Damage {
    Damage::TornManifest {
        reason: error.to_string(),
    }
}

fn invalid(error: serde_json::Error) -> Damage {
    Damage::InvalidManifest {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::test_support::sample_manifest;

    /// The file of format version 1 as it was first written. It may never change.
    const FIXTURE_VERSION_1: &[u8] = include_bytes!("fixtures/manifest-1.json");

    fn sealed(text: &str) -> String {
        let checksum = Checksum::of(text.as_bytes());
        format!("{{\"checksum\": \"{checksum}\", \"manifest\": {text}}}")
    }

    #[test]
    fn a_manifest_of_format_version_1_is_read_for_ever() {
        assert_eq!(decode(FIXTURE_VERSION_1), Ok(sample_manifest()));
    }

    #[test]
    fn a_manifest_is_written_as_the_fixture_says() {
        let written = encode(&sample_manifest()).unwrap();
        let expected = String::from_utf8_lossy(FIXTURE_VERSION_1);
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    #[test]
    fn a_tombstone_says_that_nothing_was_completed() {
        assert_eq!(decode(TOMBSTONE), Err(Damage::Incomplete));
        serde_json::from_slice::<serde_json::Value>(TOMBSTONE).unwrap();
    }

    #[test]
    fn a_cut_at_any_place_is_noticed() {
        let whole = encode(&sample_manifest()).unwrap();
        // The last byte is a line feed, which nothing depends on.
        for length in 0..whole.len() - 1 {
            let result = decode(&whole[..length]);
            assert!(result.is_err(), "cut to {length} bytes of {}", whole.len());
        }
        assert_eq!(decode(&[]), Err(Damage::EmptyManifest));
    }

    #[test]
    fn a_flipped_bit_anywhere_never_changes_what_is_read() {
        let whole = encode(&sample_manifest()).unwrap();
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.to_vec();
                damaged[position] ^= 1 << bit;
                if let Ok(manifest) = decode(&damaged) {
                    assert_eq!(manifest, sample_manifest(), "byte {position}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_later_format_and_another_encoding_are_refused_by_name() {
        let check = |text: &str, expected: Damage| {
            assert_eq!(decode(sealed(text).as_bytes()), Err(expected.clone()));
            assert!(expected.may_be_whole(), "{expected}");
        };
        check(
            r#"{"format_version": 2, "all": "else is different"}"#,
            Damage::UnknownVersion { version: 2 },
        );
        let mut manifest = sample_manifest();
        manifest.state_encoding = "rkyv 0.9".to_owned();
        check(
            &serde_json::to_string(&manifest).unwrap(),
            Damage::UnknownEncoding {
                encoding: "rkyv 0.9".to_owned(),
            },
        );
    }

    #[test]
    fn subtasks_that_are_not_numbered_from_0_are_a_contradiction() {
        let mut manifest = sample_manifest();
        for entry in manifest.operators.values_mut() {
            entry.subtasks[0].index = 5;
        }
        let content = encode(&manifest).unwrap();
        assert!(matches!(
            decode(&content),
            Err(Damage::InvalidManifest { .. })
        ));
    }
}
