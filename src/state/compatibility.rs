//! Whether a stored state can be taken up as it is now registered, and what to say when it cannot.

use super::descriptor::StateDescriptor;
use crate::error::{Error, ErrorKind, Result};

/// What can always be done about a state that does not fit.
const WAYS_OUT: &str = "register it as it was stored, give the new state another name, or start without the checkpoint";

/// Checks what no migration can change: the kind of the state, and its keys.
///
/// # Errors
/// [`ErrorKind::Configuration`] with what differs; the caller adds which state.
pub(super) fn check_unchangeable(
    stored: &StateDescriptor,
    registered: &StateDescriptor,
) -> Result<()> {
    if stored.kind != registered.kind {
        return Err(changed(format!(
            "its kind was stored as {:?} and is registered as {:?}: {WAYS_OUT}",
            stored.kind, registered.kind
        )));
    }
    let keys = [
        (
            "key",
            Some(&stored.key_schema),
            Some(&registered.key_schema),
        ),
        (
            "map key",
            stored.map_key_schema.as_ref(),
            registered.map_key_schema.as_ref(),
        ),
    ];
    for (which, stored, registered) in keys {
        if stored != registered {
            let [stored, registered] =
                [stored, registered].map(|schema| schema.map_or("nothing", |schema| schema));
            return Err(changed(format!(
                "its {which} was stored as {stored} and is registered as {registered}, and keys cannot be migrated: \
                 {WAYS_OUT}"
            )));
        }
    }
    Ok(())
}

/// The version of a value's layout, and its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueLayout<'a> {
    pub(super) version: u32,
    pub(super) schema: &'a str,
}

/// Checks that a migration reads the layout that was stored.
///
/// # Errors
/// [`ErrorKind::Configuration`]; the caller adds which state.
pub(super) fn check_old_schema(stored: ValueLayout<'_>, old_schema: &str) -> Result<()> {
    if stored.schema == old_schema {
        return Ok(());
    }
    Err(changed(format!(
        "the migration from version {} reads {old_schema}, but the checkpoint holds that version as {}: let it read \
         what is stored",
        stored.version, stored.schema
    )))
}

/// A keyed state that needs a migration and has none.
pub(super) fn no_migration(stored: &StateDescriptor, registered: &StateDescriptor) -> Error {
    // The format follows from the schemas, so it is of no interest unless it is all that differs.
    let schema = |descriptor: &StateDescriptor| {
        if stored.value_schema == registered.value_schema
            && stored.record_format != registered.record_format
        {
            format!(
                "{} in {:?} records",
                descriptor.value_schema, descriptor.record_format
            )
        } else {
            descriptor.value_schema.clone()
        }
    };
    let (stored_schema, registered_schema) = (schema(stored), schema(registered));
    no_migration_of(
        ValueLayout {
            version: stored.version,
            schema: &stored_schema,
        },
        ValueLayout {
            version: registered.version,
            schema: &registered_schema,
        },
    )
}

/// Values that need a migration and have none.
pub(super) fn no_migration_of(stored: ValueLayout<'_>, registered: ValueLayout<'_>) -> Error {
    let way_out = if stored.version == registered.version {
        format!(
            "give it a new version and a migration from version {}",
            stored.version
        )
    } else {
        format!("add a migration from version {}", stored.version)
    };
    changed(format!(
        "it was stored with version {} as {} and is registered with version {} as {}: {way_out} \
         (StateSpec::with_version, StateSpec::with_migration), {WAYS_OUT}",
        stored.version, stored.schema, registered.version, registered.schema,
    ))
}

fn changed(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}
