//! `[checkpoint.s3]`: how S3, or a store that speaks its language, is reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{Fields, Refusal, Verdict};

/// What is expected of the store where a job's ownership and its manifests are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionalPut {
    /// It must be able to create an object only if there is none (`If-None-Match: *`). A store that is not is refused.
    #[default]
    Required,
    /// A store that is not is used all the same, with a warning: that a job has one owner only is in the user's hands.
    AssumeSingleOwner,
}

/// The checksum that goes with what is uploaded, for the store to check what has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum S3Checksum {
    /// CRC32C.
    #[default]
    Crc32c,
    /// The header `Content-MD5`, which older stores know.
    Md5,
    /// None: for stores that refuse both.
    None,
}

/// `[checkpoint.s3]`: how S3 is reached. Credentials are not here: they come from the environment, from a profile, or from
/// the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Section {
    /// The address of the server; AWS unless given, here or by `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// The region; that of `AWS_REGION` unless given, and with an endpoint of one's own any will do.
    pub region: Option<String>,
    /// Whether the bucket stands in the path rather than in the name of the host; so with an endpoint of one's own, unless
    /// this says otherwise.
    pub path_style_access: Option<bool>,
    /// What is expected of the store.
    pub conditional_put: ConditionalPut,
    /// The checksum of uploads.
    pub checksum: S3Checksum,
    /// How the store encrypts what it keeps: `AES256` or `aws:kms`; as the bucket says unless given.
    pub server_side_encryption: Option<String>,
    /// The key for `aws:kms`.
    pub server_side_encryption_key: Option<String>,
    /// After this long without an answer a request is given up, and tried again.
    pub timeout: Duration,
}

impl Default for S3Section {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style_access: None,
            conditional_put: ConditionalPut::default(),
            checksum: S3Checksum::default(),
            server_side_encryption: None,
            server_side_encryption_key: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Reads the table `s3` of a section.
pub(super) fn read_s3(section: &mut Fields<'_, '_>) -> S3Section {
    let mut fields = Fields::of_section("s3", section);
    let mut s3 = S3Section {
        endpoint: fields.read("endpoint", |text: &String| judge_endpoint(text)),
        region: fields.read("region", |text: &String| judge_not_empty(text)),
        path_style_access: fields.read("path_style_access", |_| Ok(())),
        ..S3Section::default()
    };
    fields.set("conditional_put", &mut s3.conditional_put, |_| Ok(()));
    fields.set("checksum", &mut s3.checksum, |_| Ok(()));
    s3.server_side_encryption = fields.read("server_side_encryption", |text: &String| {
        match text.as_str() {
            "AES256" | "aws:kms" => Ok(()),
            _ => Err(Refusal::new("must be \"AES256\" or \"aws:kms\"")),
        }
    });
    let takes_key = s3.server_side_encryption.as_deref() == Some("aws:kms");
    s3.server_side_encryption_key =
        fields.read("server_side_encryption_key", |_: &String| match takes_key {
            true => Ok(()),
            false => Err(Refusal::new("needs server_side_encryption = \"aws:kms\"")),
        });
    fields.set_duration("timeout", &mut s3.timeout, |timeout| {
        match timeout.is_zero() {
            true => Err(Refusal::new("must be more than 0")),
            false => Ok(()),
        }
    });
    fields.finish();
    s3
}

fn judge_endpoint(text: &str) -> Verdict {
    match S3Section::problem_of_endpoint(text) {
        Some((problem, hint)) => Err(Refusal::new(problem).with_hint(hint)),
        None => Ok(()),
    }
}

impl S3Section {
    /// What is wrong with the address of a server, and what to do about it.
    pub(crate) fn problem_of_endpoint(text: &str) -> Option<(&'static str, &'static str)> {
        let host = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match host {
            // An error would show it, and so would the log.
            Some(host) if host.contains('@') => Some((
                "must not hold credentials",
                "put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )),
            Some(host) if !host.is_empty() => None,
            _ => Some((
                "must begin with http:// or https://",
                "write \"https://s3.example.com\"",
            )),
        }
    }
}

fn judge_not_empty(text: &str) -> Verdict {
    match text {
        "" => Err(Refusal::new("must not be empty")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::JobFile;

    fn parse(section: &str) -> Result<S3Section, String> {
        let text = format!(
            "[job]\nname = \"j\"\n[checkpoint.s3]\n{section}\n[[source]]\nid = \"a\"\ntype = \"generator\"\n\
             schema = \"key-value\"\n[[sink]]\nid = \"b\"\ntype = \"blackhole\"\ninput = \"a\"\n"
        );
        let parsed = JobFile::parse("job.toml", &text);
        parsed
            .map(|file| file.checkpoint.s3)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_section_says_how_a_store_is_reached() {
        let text = "endpoint = \"http://127.0.0.1:8333\"\nregion = \"eu-1\"\npath_style_access = false\n\
                    conditional_put = \"assume-single-owner\"\nchecksum = \"md5\"\ntimeout = \"5s\"\n\
                    server_side_encryption = \"aws:kms\"\nserver_side_encryption_key = \"key\"";
        let expected = S3Section {
            endpoint: Some("http://127.0.0.1:8333".to_owned()),
            region: Some("eu-1".to_owned()),
            path_style_access: Some(false),
            conditional_put: ConditionalPut::AssumeSingleOwner,
            checksum: S3Checksum::Md5,
            server_side_encryption: Some("aws:kms".to_owned()),
            server_side_encryption_key: Some("key".to_owned()),
            timeout: Duration::from_secs(5),
        };
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(""), Ok(S3Section::default()));
    }

    #[test]
    fn what_cannot_work_is_refused_at_its_key() {
        for (text, expected) in [
            (
                "endpoint = \"127.0.0.1:8333\"",
                "checkpoint.s3.endpoint: must begin with http:// or https://",
            ),
            (
                "endpoint = \"http://user:secret@host\"",
                "checkpoint.s3.endpoint: must not hold credentials",
            ),
            ("region = \"\"", "checkpoint.s3.region: must not be empty"),
            ("checksum = \"sha1\"", "checkpoint.s3.checksum: "),
            (
                "timeout = \"0s\"",
                "checkpoint.s3.timeout: must be more than 0",
            ),
            (
                "server_side_encryption_key = \"key\"",
                "checkpoint.s3.server_side_encryption_key: needs server_side_encryption",
            ),
            (
                "access_key_id = \"AKIA\"",
                "checkpoint.s3.access_key_id: unknown key",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
