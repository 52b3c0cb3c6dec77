//! The rows of the kept checkpoint, read by what its manifest says of the states and by nothing else.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use floodmark::model::CheckpointId;
use floodmark::snapshot::offline::{
    KeyedStateReader, ReadLimits, SnapshotDifference, StoredRowValue, Verification,
    state_summaries, verify,
};
use floodmark::snapshot::{KeyedEntry, Manifest, SnapshotAt};
use floodmark::state::StateDescriptor;
use floodmark::state::rows::RowValue;
use floodmark::storage::Checksum;
use serde_json::{Value, json};

use crate::folder::{Folder, block_on, files, kept, write_files};
use crate::states::{Content, Quality};
use crate::{OPERATOR, write_checkpoint};

/// The checkpoint that is kept.
const CHECKPOINT: CheckpointId = CheckpointId(70);

/// So little memory that each state is read in many passes.
const LITTLE_MEMORY: u64 = 200;

fn open(folder: &Folder) -> SnapshotAt {
    let path = folder.store.shown_folder(CHECKPOINT);
    block_on(SnapshotAt::open(&path, &folder.job())).unwrap()
}

fn kept_snapshot() -> (Folder, SnapshotAt) {
    let folder = Folder::new();
    write_files(&folder.job(), &files(&kept()));
    let snapshot = open(&folder);
    (folder, snapshot)
}

fn json_of(value: &RowValue) -> Value {
    serde_json::from_str(&value.to_json()).unwrap()
}

/// All rows of a state, each as its key, its map key and its value; by key and map key.
fn rows(snapshot: &SnapshotAt, state: &str, limits: &ReadLimits) -> BTreeMap<String, Value> {
    let reader = KeyedStateReader::find(snapshot, OPERATOR, state).unwrap();
    let codec = reader.codec();
    assert_eq!(codec.opaque_schemas(), Vec::<&str>::new());
    let mut rows = BTreeMap::new();
    let read = reader.for_each(limits, |row| {
        let key = json_of(&codec.key().decode(&row.key)?);
        let map_key = match (&row.map_key, codec.map_key()) {
            (Some(map_key), Some(codec)) => json_of(&codec.decode(map_key)?),
            _ => Value::Null,
        };
        let value = match &row.value {
            StoredRowValue::Single(value) => json_of(&codec.decode_value(value)?.value),
            StoredRowValue::List(elements) => elements
                .iter()
                .map(|element| json_of(&codec.decode_value(element).unwrap().value))
                .collect(),
        };
        let place = json!([key, map_key]).to_string();
        assert!(rows.insert(place, value).is_none(), "a key came twice");
        Ok(ControlFlow::Continue(()))
    });
    block_on(read).unwrap();
    rows
}

/// The same rows as the job itself holds them.
fn expected(content: &Content) -> BTreeMap<&'static str, BTreeMap<String, Value>> {
    let single = |key: Value| json!([key, null]).to_string();
    let readings = content.readings.iter().map(|(key, reading)| {
        let quality = match &reading.quality {
            Quality::Good => json!("Good"),
            Quality::Doubtful { reason } => json!({"Doubtful": {"reason": reason}}),
            Quality::Bad(code, seen) => json!({"Bad": [code, seen]}),
        };
        let value = json!({
            "sensor": [reading.sensor.0, reading.sensor.1],
            "label": reading.label,
            "values": reading.values,
            "quality": quality,
        });
        (single(json!(key)), value)
    });
    let totals = content.totals.iter();
    let waiting = content.waiting.iter().filter(|(_, list)| !list.is_empty());
    let sessions = content.sessions.iter();
    let entry = |key: Value, map_key: Value| json!([key, map_key]).to_string();
    BTreeMap::from([
        ("readings", readings.collect()),
        (
            "totals",
            totals
                .map(|(key, value)| (single(json!(key)), json!(value)))
                .collect(),
        ),
        (
            "waiting",
            waiting
                .map(|(key, value)| (single(json!(key)), json!(value)))
                .collect(),
        ),
        (
            "sessions",
            sessions
                .map(|(key, value)| (single(json!(key)), json!(value)))
                .collect(),
        ),
        (
            "steps",
            content
                .steps
                .iter()
                .map(|((key, step), value)| (entry(json!(key), json!(step)), json!(value)))
                .collect(),
        ),
        (
            "slots",
            content
                .slots
                .iter()
                .map(|((key, slot), value)| (entry(json!(key), json!(slot)), json!(value)))
                .collect(),
        ),
        (
            "prices",
            content
                .prices
                .iter()
                .map(|((key, company), value)| (entry(json!(key), json!(company)), json!(value)))
                .collect(),
        ),
    ])
}

#[test]
fn every_state_of_the_kept_checkpoint_is_read_by_its_schema() {
    let expected = expected(&write_checkpoint(&Folder::new()));
    let (_folder, snapshot) = kept_snapshot();
    for (state, expected) in expected {
        for memory_bytes in [ReadLimits::default().memory_bytes, LITTLE_MEMORY] {
            let limits = ReadLimits {
                key: None,
                memory_bytes,
            };
            assert_eq!(
                rows(&snapshot, state, &limits),
                expected,
                "{state}, {memory_bytes}"
            );
        }
    }
}

#[test]
fn one_key_is_read_without_the_others() {
    let (_folder, snapshot) = kept_snapshot();
    let all = rows(&snapshot, "prices", &ReadLimits::default());
    let limits = ReadLimits {
        key: Some(3_u64.to_le_bytes().to_vec()),
        ..ReadLimits::default()
    };
    let of_key: BTreeMap<String, Value> = all
        .into_iter()
        .filter(|(place, _)| place.starts_with("[3,"))
        .collect();
    assert!(of_key.len() > 2);
    assert_eq!(rows(&snapshot, "prices", &limits), of_key);
}

#[test]
fn a_state_that_is_not_there_is_refused_with_those_that_are() {
    let (_folder, snapshot) = kept_snapshot();
    let find = |operator, state| {
        KeyedStateReader::find(&snapshot, operator, state)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        find("sun", "totals"),
        "the snapshot has no operator \"sun\": there are sum"
    );
    assert_eq!(
        find("sum", "total"),
        "the snapshot has no keyed state \"total\" of operator \"sum\": there are prices, readings, sessions, slots, \
         steps, totals, waiting"
    );
}

#[test]
fn the_states_are_listed_with_their_parts_counted_in() {
    let (_folder, snapshot) = kept_snapshot();
    let states = block_on(state_summaries(&snapshot)).unwrap();
    let names: Vec<(&str, &str)> = states
        .iter()
        .map(|state| (state.state.as_str(), state.kind.as_str()))
        .collect();
    let expected = [
        ("prices", "map"),
        ("readings", "value"),
        ("sessions", "value"),
        ("slots", "entry"),
        ("steps", "entry"),
        ("totals", "value"),
        ("waiting", "list"),
    ];
    assert_eq!(names, expected);
    let bytes: u64 = states.iter().map(|state| state.bytes).sum();
    assert_eq!(bytes, snapshot.manifest().referred_bytes());
    assert!(states.iter().all(|state| state.records > 0));
}

#[test]
fn a_sound_checkpoint_has_no_finding_and_every_byte_is_counted() {
    let (_folder, snapshot) = kept_snapshot();
    let mut progress = 0;
    let verification = block_on(verify(&snapshot, &mut |bytes| progress += bytes));
    assert_eq!(verification.findings, []);
    assert_eq!(verification.bytes, snapshot.manifest().referred_bytes());
    assert_eq!(progress, verification.bytes);
    assert!(
        verification.records > 500 && verification.deletions > 10,
        "{verification:?}"
    );
    assert_eq!(verification.records_of_other_key_groups, 0);
}

/// In each object one byte is changed, at a place drawn from the seed, or the object is cut off, or gone.
#[test]
fn damage_is_found_wherever_it_is_and_named() {
    let whole = files(&kept());
    let is_object = |path: &&std::path::PathBuf| path.starts_with("shared");
    for (seed, path) in whole.keys().filter(is_object).enumerate() {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        let object = path.display().to_string();
        for (how, expected) in [
            ("change", "is damaged"),
            ("cut", "is cut off"),
            ("remove", "is missing"),
        ] {
            let folder = Folder::new();
            write_files(&folder.job(), &whole);
            let file = folder.job().join(path);
            let mut bytes = whole[path].clone();
            let at = random.usize(..bytes.len());
            match how {
                "change" => bytes[at] ^= 1 << random.u8(..8),
                "cut" => bytes.truncate(at),
                _ => std::fs::remove_file(&file).unwrap(),
            }
            if how != "remove" {
                std::fs::write(&file, bytes).unwrap();
            }
            let verification = block_on(verify(&open(&folder), &mut |_| {}));
            let findings = &verification.findings;
            assert!(!findings.is_empty(), "seed {seed}: {how} {object} at {at}");
            for finding in findings {
                assert_eq!(finding.object.as_str(), object, "seed {seed}");
                assert!(
                    finding.damage.contains(expected),
                    "seed {seed}: {finding:?}"
                );
                assert!(finding.state.is_some());
            }
        }
    }
}

/// The manifest of a kept checkpoint with a schema that lies: every checksum is right, and the records are not what they
/// are said to be.
/// The kept checkpoint with another manifest, and what comes of verifying it.
fn verify_with(folder: &Folder, change: impl FnOnce(&mut Manifest)) -> Verification {
    let mut manifest = open(folder).manifest().clone();
    manifest.checkpoint = CheckpointId(71);
    change(&mut manifest);
    block_on(folder.store.begin(manifest.checkpoint)).unwrap();
    block_on(folder.store.commit(&manifest)).unwrap();
    let path = folder.store.shown_folder(manifest.checkpoint);
    let snapshot = block_on(SnapshotAt::open(&path, &folder.job())).unwrap();
    block_on(verify(&snapshot, &mut |_| {}))
}

/// What the manifest says of a state, in all subtasks.
fn entries<'m>(
    manifest: &'m mut Manifest,
    name: &'m str,
) -> impl Iterator<Item = &'m mut KeyedEntry> {
    let operators = manifest.operators.values_mut();
    let subtasks = operators.flat_map(|entry| &mut entry.subtasks);
    let states = subtasks.flat_map(|subtask| &mut subtask.keyed);
    states.filter(move |state| state.name == name)
}

#[test]
fn a_record_that_is_not_of_its_schema_is_found_though_every_checksum_is_right() {
    let check = |state: &str, lie: fn(&mut StateDescriptor)| {
        let (folder, _) = kept_snapshot();
        let verification = verify_with(&folder, |manifest| {
            entries(manifest, state).for_each(|entry| lie(&mut entry.descriptor));
        });
        assert!(!verification.findings.is_empty(), "{state}");
        for finding in &verification.findings {
            assert_eq!(finding.state.as_deref(), Some(state));
            assert!(finding.damage.contains("is malformed"), "{finding:?}");
            let place = "the record at byte ";
            assert!(finding.damage.contains(place), "{finding:?}");
        }
    };
    const LIE: &str = "list<bool> (8 bytes, alignment 4)";
    check("readings", |descriptor| {
        let lie = "struct { n: list<bool>, rest: [u64; 4] } (40 bytes, alignment 8)";
        descriptor.value_schema = lie.to_owned();
    });
    check("readings", |descriptor| {
        descriptor.key_schema = LIE.to_owned();
    });
    check("steps", |descriptor| {
        descriptor.map_key_schema = Some(LIE.to_owned());
    });
}

#[test]
fn a_footer_that_miscounts_deletions_is_found_though_its_checksum_is_right() {
    let (folder, _) = kept_snapshot();
    let verification = verify_with(&folder, |manifest| {
        let entry = entries(manifest, "steps").next().unwrap();
        let piece = entry.parts[0].deltas.last_mut().unwrap();
        let path = folder.job().join(piece.object.as_str());
        let mut bytes = std::fs::read(&path).unwrap();
        let section = piece.offset as usize..(piece.offset + piece.length) as usize;
        // The footer's last 24 bytes begin with the number of deletions.
        bytes[section.end - 24] ^= 1;
        piece.checksum = Checksum::of(&bytes[section]);
        std::fs::write(&path, bytes).unwrap();
    });
    let found = verification.findings.iter();
    let found = found.filter(|finding| finding.damage.contains("deletions, and its footer says"));
    assert_eq!(found.count(), 1, "{:?}", verification.findings);
}

#[test]
fn records_that_do_not_count_since_a_rescale_are_counted_apart() {
    let (folder, _) = kept_snapshot();
    let whole = verify_with(&folder, |_| {});
    assert_eq!(whole.records_of_other_key_groups, 0);
    let (folder, _) = kept_snapshot();
    let verification = verify_with(&folder, |manifest| {
        for entry in entries(manifest, "totals") {
            for part in &mut entry.parts {
                part.key_groups.end = part.key_groups.start + 1;
            }
        }
    });
    assert_eq!(verification.findings, []);
    assert_eq!(verification.records, whole.records);
    assert!(
        verification.records_of_other_key_groups > 10,
        "{verification:?}"
    );
}

#[test]
fn two_checkpoints_differ_in_what_an_epoch_has_changed() {
    let folder = Folder::new();
    write_files(&folder.job(), &files(&kept()));
    let newer = open(&folder);
    // The same without the last delta of each state: the checkpoint one epoch before.
    let mut manifest = newer.manifest().clone();
    manifest.checkpoint = CheckpointId(69);
    for entry in manifest.operators.values_mut() {
        let states = entry
            .subtasks
            .iter_mut()
            .flat_map(|subtask| &mut subtask.keyed);
        for part in states.flat_map(|state| &mut state.parts) {
            part.deltas.pop();
        }
    }
    block_on(folder.store.begin(manifest.checkpoint)).unwrap();
    block_on(folder.store.commit(&manifest)).unwrap();
    let path = folder.store.shown_folder(manifest.checkpoint);
    let older = block_on(SnapshotAt::open(&path, &folder.job())).unwrap();

    for memory_bytes in [ReadLimits::default().memory_bytes, LITTLE_MEMORY] {
        let mut changes: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        let compared = SnapshotDifference::between(&older, &newer, memory_bytes, |change| {
            let counts = changes.entry(change.state.to_owned()).or_default();
            let kind = match (change.a, change.b) {
                (Some(_), None) => 0,
                (None, Some(_)) => 1,
                _ => 2,
            };
            counts[kind] += 1;
            Ok(())
        });
        let difference = block_on(compared).unwrap();
        assert!(!difference.is_empty());
        for state in &difference.operators[0].states {
            let name = &state.state;
            let before = rows(&older, name, &ReadLimits::default());
            let after = rows(&newer, name, &ReadLimits::default());
            let only_in = |left: &BTreeMap<String, Value>, right: &BTreeMap<String, Value>| {
                left.keys().filter(|key| !right.contains_key(*key)).count() as u64
            };
            let changed = before
                .iter()
                .filter(|(key, value)| after.get(*key).is_some_and(|other| other != *value));
            let expected = [
                only_in(&before, &after),
                only_in(&after, &before),
                changed.count() as u64,
            ];
            let counts = state.changes.unwrap();
            let found = [counts.only_in_a, counts.only_in_b, counts.changed];
            assert_eq!(found, expected, "{name}");
            assert_eq!(
                changes.get(name).copied().unwrap_or_default(),
                expected,
                "{name}"
            );
            assert_eq!(state.rows.a, Some(before.len() as u64));
            assert_eq!(state.rows.b, Some(after.len() as u64));
        }
        // Something of every sort, or the test would show nothing.
        let all = changes.values().fold([0; 3], |sum, counts| {
            [sum[0] + counts[0], sum[1] + counts[1], sum[2] + counts[2]]
        });
        assert!(all.iter().all(|count| *count > 0), "{all:?}");
    }
    let same = SnapshotDifference::between(&newer, &newer, LITTLE_MEMORY, |_| Ok(()));
    let same = block_on(same).unwrap();
    assert!(same.is_empty());
    assert!(same.operators[0].states.iter().all(|state| state.identical));
}
