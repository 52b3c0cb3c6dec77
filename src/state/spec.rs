//! What a named state is registered with.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::archive::StateValue;
use super::compatibility::{self, ValueLayout};
use super::descriptor::StateDescriptor;
use super::expiring::Expiring;
use super::migration::Migration;
use super::time_to_live::StateTtl;
use crate::error::{Error, ErrorKind, Result};

/// The version of a state that was given none.
pub(super) const FIRST_VERSION: u32 = 1;

/// The name of a state, and what else it is registered with. A name alone is enough: `"sums".into()`. Operator states are
/// registered with one as well; they cannot have a time-to-live.
///
/// # When a value's type changes
///
/// A checkpoint says with which version and with which [schema](super::StateSchema) each state was written. When both are
/// still the same, a restore takes the state up as it is. Otherwise it needs a migration from just the version that the
/// checkpoint holds: a function from the old type, which is kept for it, to the new one. Without one, the restore fails and
/// says so. Keys cannot be migrated.
///
/// ```
/// use floodmark::state::StateSpec;
///
/// // Version 1 had whole euros. Version 2 had cents as 32 bits, and this one has them as 64.
/// let balances = StateSpec::<i64>::new("balances")
///     .with_version(3)
///     .with_migration(1, |euros: i32| i64::from(euros) * 100)
///     .with_migration(2, |cents: i32| i64::from(cents));
/// assert_eq!(balances.name(), "balances");
/// ```
///
/// Each migration leads from its version straight to the present one; one that goes by way of a version in between calls
/// the function of that one itself. All records are migrated while the state is registered. The first checkpoint after it
/// holds them all in the new layout, and refers to nothing that was written in the old one; until it is complete, a
/// restart migrates again.
pub struct StateSpec<V> {
    name: String,
    version: u32,
    time_to_live: Option<StateTtl>,
    migrations: Vec<Migration<V>>,
    /// The same for values that lie with their end.
    expiring_migrations: Vec<Migration<Expiring<V>>>,
    /// What reads a stored state that had a time-to-live and now has none, or the reverse.
    switching: Option<Migration<V>>,
}

impl<V> StateSpec<V> {
    /// A state of this name, unique in its operator and without a `/`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: FIRST_VERSION,
            time_to_live: None,
            migrations: Vec::new(),
            expiring_migrations: Vec::new(),
            switching: None,
        }
    }

    /// Lets the state's values go when their time is over; without this, they stay until they are removed.
    #[must_use]
    pub fn with_time_to_live(self, time_to_live: StateTtl) -> Self {
        Self {
            time_to_live: Some(time_to_live),
            ..self
        }
    }

    /// How long values last, if not for ever.
    pub fn time_to_live(&self) -> Option<StateTtl> {
        self.time_to_live
    }

    /// Gives the value's layout a version; without it the version is 1. A change in meaning alone needs a new one too:
    /// the schema is the same before and after it.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// The state's name, in which there must be no `/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the value's layout.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl<V: StateValue> StateSpec<V> {
    /// The same for values that lie with their end. If the state was stored without one, its values are given this.
    pub(super) fn of_expiring(
        &self,
        stored: Option<&StateDescriptor>,
        expires_unix_millis: i64,
    ) -> StateSpec<Expiring<V>> {
        let stored = stored.filter(|stored| !stored.time_to_live);
        let reading = stored.and_then(|stored| reading(&self.migrations, self.version, stored));
        StateSpec {
            name: self.name.clone(),
            version: self.version,
            time_to_live: self.time_to_live,
            migrations: self.expiring_migrations.clone(),
            expiring_migrations: Vec::new(),
            switching: reading.map(|migration| migration.with_end(expires_unix_millis)),
        }
    }

    /// The same for values that lie without an end. If the state was stored with ends, its values lose them, and those whose
    /// time is over by now are left out.
    pub(super) fn of_lasting(
        &self,
        stored: Option<&StateDescriptor>,
        now_unix_millis: i64,
    ) -> Self {
        let stored = stored.filter(|stored| stored.time_to_live);
        let reading =
            stored.and_then(|stored| reading(&self.expiring_migrations, self.version, stored));
        Self {
            switching: reading.map(|migration| migration.without_end(now_unix_millis)),
            ..self.clone()
        }
    }

    /// Makes values out of those that were stored with another version.
    ///
    /// `migrate` is called for every stored record that counts for the subtask, also for those that a later change in the
    /// same checkpoint replaces.
    #[must_use]
    pub fn with_migration<Old: StateValue>(
        self,
        from_version: u32,
        migrate: impl Fn(Old) -> V + Send + Sync + 'static,
    ) -> Self {
        self.with_fallible_migration(from_version, move |old| Ok(migrate(old)))
    }

    /// As [`StateSpec::with_migration`], with a function that can fail. Its error fails the restore.
    #[must_use]
    pub fn with_fallible_migration<Old: StateValue>(
        mut self,
        from_version: u32,
        migrate: impl Fn(Old) -> Result<V> + Send + Sync + 'static,
    ) -> Self {
        let migrate = Arc::new(migrate);
        let of_value = Arc::clone(&migrate);
        self.expiring_migrations
            .push(Migration::new(from_version, move |old: Expiring<Old>| {
                old.try_map(&*of_value)
            }));
        let migration = Migration::new(from_version, move |old| migrate(old));
        self.migrations.push(migration);
        self
    }

    /// Checks that no two migrations are from one version, and none from the present one.
    pub(super) fn check(&self) -> Result<()> {
        let mut versions = BTreeSet::from([self.version]);
        for migration in &self.migrations {
            let version = migration.reads_version();
            if !versions.insert(version) {
                let message = format!(
                    "its version is {}, and the migration from version {version} is one too many: register one for each \
                     former version",
                    self.version
                );
                return Err(Error::new(ErrorKind::Operator, message));
            }
        }
        Ok(())
    }

    /// The migration that a state needs that was stored as `stored`; nothing when it can be taken up as it is.
    pub(super) fn migration_for(
        &self,
        stored: &StateDescriptor,
        registered: &StateDescriptor,
    ) -> Result<Option<&Migration<V>>> {
        compatibility::check_unchangeable(stored, registered)?;
        if stored == registered {
            return Ok(None);
        }
        let migration = if stored.time_to_live == registered.time_to_live {
            self.migration_from(stored.version)
        } else {
            self.switching.as_ref()
        };
        let migration = migration.ok_or_else(|| compatibility::no_migration(stored, registered))?;
        let layout = ValueLayout {
            version: stored.version,
            schema: &stored.value_schema,
        };
        compatibility::check_old_schema(layout, migration.old_schema())?;
        Ok(Some(migration))
    }

    /// The migration that values need that were stored in this layout and have no end; nothing when they can be taken up as
    /// they are.
    pub(super) fn migration_of_values(
        &self,
        stored: ValueLayout<'_>,
        registered: ValueLayout<'_>,
    ) -> Result<Option<&Migration<V>>> {
        if stored == registered {
            return Ok(None);
        }
        let migration = self
            .migration_from(stored.version)
            .ok_or_else(|| compatibility::no_migration_of(stored, registered))?;
        compatibility::check_old_schema(stored, migration.old_schema())?;
        Ok(Some(migration))
    }

    fn migration_from(&self, version: u32) -> Option<&Migration<V>> {
        let mut migrations = self.migrations.iter();
        migrations.find(|migration| migration.reads_version() == version)
    }
}

/// The migration that reads what was stored; of the present version it changes nothing.
fn reading<V: StateValue>(
    migrations: &[Migration<V>],
    version: u32,
    stored: &StateDescriptor,
) -> Option<Migration<V>> {
    if stored.version == version {
        let unchanged = Migration::new(version, Ok);
        return (unchanged.old_schema() == stored.value_schema).then_some(unchanged);
    }
    let mut migrations = migrations.iter();
    migrations
        .find(|migration| migration.reads_version() == stored.version)
        .cloned()
}

impl<V> Clone for StateSpec<V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            version: self.version,
            time_to_live: self.time_to_live,
            migrations: self.migrations.clone(),
            expiring_migrations: self.expiring_migrations.clone(),
            switching: self.switching.clone(),
        }
    }
}

impl<V> From<&str> for StateSpec<V> {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl<V> From<String> for StateSpec<V> {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl<V> From<&String> for StateSpec<V> {
    fn from(name: &String) -> Self {
        Self::new(name)
    }
}
