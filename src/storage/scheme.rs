//! The stores beside the local disk, by the scheme of their addresses.

use std::fmt;

/// A kind of store that keeps objects in buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// S3, or what speaks its language.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
}

impl Scheme {
    const ALL: [Self; 3] = [Self::S3, Self::Gcs, Self::Azblob];

    /// The scheme with this name, if this build has it.
    ///
    /// # Errors
    /// Says which there are, or which feature the build lacks.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let Some(scheme) = Self::ALL.into_iter().find(|scheme| scheme.name() == name) else {
            return Err(format!(
                "the scheme {name}:// is not known: name a folder, or an address with file://, s3://, gcs:// or azblob://"
            ));
        };
        match scheme.is_built_in() {
            true => Ok(scheme),
            false => Err(format!(
                "this build cannot reach {name}://: build it with --features {name}"
            )),
        }
    }

    /// The scheme, which is the name of the feature as well.
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azblob => "azblob",
        }
    }

    fn is_built_in(self) -> bool {
        match self {
            Self::S3 => cfg!(feature = "s3"),
            Self::Gcs => cfg!(feature = "gcs"),
            Self::Azblob => cfg!(feature = "azblob"),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_is_not_built_in_is_refused_with_its_feature() {
        for scheme in Scheme::ALL {
            let name = scheme.to_string();
            match (Scheme::parse(&name), scheme.is_built_in()) {
                (Ok(found), true) => assert_eq!(found, scheme),
                (Err(problem), false) => {
                    let expected = format!("--features {name}");
                    assert!(problem.ends_with(&expected), "{problem}");
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
