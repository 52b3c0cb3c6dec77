//! Savepoints that are made of rows: what is read of the kept checkpoint makes it anew, and any rows that are put and
//! deleted give what a plain map would hold, index and bounds included.

use std::process::{Command, Stdio};

use floodmark::model::OperatorId;
use floodmark::snapshot::SnapshotAt;
use floodmark::snapshot::offline::{
    KeyedEdit, RowEdit, SavepointDraft, StateEdit, StoredRowValue, verify,
};
use floodmark::state::rows::StateCodec;
use floodmark::storage::SnapshotLocation;
use serde_json::{Value, json};

use crate::folder::{Folder, block_on, files, kept, write_files};
use crate::states::Content;
use crate::{OPERATOR, restore, write_checkpoint};

/// All states, in the order in which they are written.
const STATES: [&str; 7] = [
    "totals", "readings", "steps", "slots", "prices", "waiting", "sessions",
];

/// How many keys the maps and the lists have.
const KEYS: u64 = 8;

/// For how many epochs a restored job goes on, so that whatever the index of a map says is made use of.
const EPOCHS_AFTER: u64 = 6;

/// Runs the binary in a store's folder; gives what it has printed.
fn floodmark(folder: &Folder, arguments: &[&str], input: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
    command.args(arguments).current_dir(folder.job());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(rows) = input {
        std::fs::write(folder.job().join("rows"), rows).unwrap();
        command.stdin(std::fs::File::open(folder.job().join("rows")).unwrap());
    }
    let output = command.output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {log}");
    String::from_utf8(output.stdout).unwrap()
}

fn kept_folder() -> Folder {
    let folder = Folder::new();
    write_files(&folder.job(), &files(&kept()));
    folder
}

fn open(folder: &Folder, name: &str) -> SnapshotAt {
    block_on(SnapshotAt::open(name, &folder.job())).unwrap()
}

/// What the states of a savepoint hold at a parallelism, now and after some more epochs; the model goes on as well.
fn check_restored(folder: &Folder, savepoint: &str, parallelism: usize, expected: &Content) {
    let snapshot = open(folder, savepoint);
    let verification = block_on(verify(&snapshot, &mut |_| {}));
    assert_eq!(verification.findings, [], "{savepoint}");
    let loaded = block_on(snapshot.load()).unwrap();
    let mut restored = restore(&loaded, folder, parallelism);
    let collect = |restored: &[crate::states::States]| {
        let mut content = Content::default();
        restored
            .iter()
            .for_each(|states| states.collect(&mut content));
        // A list without an element is the same as none.
        content.waiting.retain(|_, list| !list.is_empty());
        content
    };
    let mut expected = expected.clone();
    expected.waiting.retain(|_, list| !list.is_empty());
    assert_eq!(collect(&restored), expected, "{savepoint} at {parallelism}");
    for epoch in 71..71 + EPOCHS_AFTER {
        for states in &mut restored {
            states.next_epoch(epoch, &mut expected);
        }
    }
    expected.waiting.retain(|_, list| !list.is_empty());
    assert_eq!(
        collect(&restored),
        expected,
        "{savepoint} at {parallelism}, later"
    );
}

#[test]
fn rows_as_they_are_read_make_the_same_states_again() {
    let expected = write_checkpoint(&Folder::new());
    for format in ["json", "csv"] {
        let folder = kept_folder();
        let mut origin = "chk-70".to_owned();
        for (index, state) in STATES.into_iter().enumerate() {
            let arguments = ["--operator", OPERATOR, "--state", state, "--format", format];
            let read = [&["state", "read", "chk-70"][..], &arguments].concat();
            let rows = floodmark(&folder, &read, None);
            let to = format!("savepoint-{index}");
            let write = ["state", "write", "-", "--from", &origin, "--to", &to];
            let new: &[&str] = if index == 0 { &["--new"] } else { &[] };
            floodmark(
                &folder,
                &[&write[..], &arguments, new].concat(),
                Some(&rows),
            );
            origin = to;
        }
        let manifest = open(&folder, &origin);
        assert_eq!(manifest.manifest().operators.len(), 1);
        for parallelism in [1, 2, 5] {
            check_restored(&folder, &origin, parallelism, &expected);
        }
    }
}

/// Changes rows of one state at random, and the model with them.
struct Changes<'a> {
    random: &'a mut fastrand::Rng,
    codec: StateCodec,
    edit: KeyedEdit,
}

impl Changes<'_> {
    fn add(&mut self, key: &Value, map_key: Option<&Value>, value: Option<StoredRowValue>) {
        let map_key = map_key.map(|map_key| self.codec.map_key().unwrap().encode(map_key).unwrap());
        self.edit.add(RowEdit {
            key: self.codec.key().encode(key).unwrap(),
            map_key,
            value,
        });
    }

    fn value(&self, value: &Value) -> StoredRowValue {
        StoredRowValue::Single(self.codec.encode_value(value, None).unwrap())
    }

    fn change_prices(&mut self, content: &mut Content) {
        for _ in 0..self.random.usize(1..40) {
            let key = self.random.u64(0..KEYS);
            // Some companies are there, some are not.
            let company = format!("company of epoch {}", self.random.u64(60..76));
            match self.random.u8(0..8) {
                0 => {
                    content.prices.retain(|(found, _), _| *found != key);
                    self.add(&json!(key), None, None);
                }
                1..=3 => {
                    content.prices.remove(&(key, company.clone()));
                    self.add(&json!(key), Some(&json!(company)), None);
                }
                _ => {
                    let price = f64::from(self.random.u16(..)) / 8.0;
                    content.prices.insert((key, company.clone()), price);
                    let value = self.value(&json!(price));
                    self.add(&json!(key), Some(&json!(company)), Some(value));
                }
            }
        }
    }

    fn change_slots(&mut self, content: &mut Content) {
        for _ in 0..self.random.usize(1..20) {
            let (key, slot) = (self.random.u32(0..12), self.random.u32(0..40));
            if self.random.u8(0..4) == 0 {
                content.slots.retain(|(found, _), _| *found != key);
                self.add(&json!(key), None, None);
            } else {
                content.slots.insert((key, slot), 7);
                let value = self.value(&json!(7));
                self.add(&json!(key), Some(&json!(slot)), Some(value));
            }
        }
    }

    fn change_waiting(&mut self, content: &mut Content) {
        for _ in 0..self.random.usize(1..8) {
            let key = self.random.u64(0..KEYS);
            if self.random.u8(0..4) == 0 {
                content.waiting.remove(&key);
                self.add(&json!(key), None, None);
                continue;
            }
            let list: Vec<i64> = (0..self.random.usize(0..7))
                .map(|_| self.random.i64(..))
                .collect();
            let elements = list
                .iter()
                .map(|element| self.codec.encode_value(&json!(element), None).unwrap());
            let value = StoredRowValue::List(elements.collect());
            self.add(&json!(key), None, Some(value));
            content.waiting.insert(key, list);
        }
    }

    fn change_totals(&mut self, content: &mut Content) {
        for _ in 0..self.random.usize(1..30) {
            let key = self.random.u64(0..60);
            if self.random.bool() {
                content.totals.remove(&key);
                self.add(&json!(key), None, None);
            } else {
                content.totals.insert(key, -5);
                let value = self.value(&json!(-5));
                self.add(&json!(key), None, Some(value));
            }
        }
    }
}

/// Savepoint upon savepoint, each with changed rows of one state; the seed is in every message.
#[test]
fn any_rows_that_are_put_and_deleted_give_what_a_plain_map_holds() {
    let before = write_checkpoint(&Folder::new());
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = kept_folder();
        let mut expected = before.clone();
        let mut origin = "chk-70".to_owned();
        for round in 0..4 {
            let operator = OperatorId::new(OPERATOR);
            let draft = SavepointDraft::copy_of(&open(&folder, &origin));
            let state = ["prices", "slots", "waiting", "totals"][random.usize(..4)];
            let codec = StateCodec::new(draft.keyed_state(&operator, state).unwrap()).unwrap();
            let edit = KeyedEdit::new(&draft, &operator, state).unwrap();
            let mut changes = Changes {
                random: &mut random,
                codec,
                edit,
            };
            match state {
                "prices" => changes.change_prices(&mut expected),
                "slots" => changes.change_slots(&mut expected),
                "waiting" => changes.change_waiting(&mut expected),
                _ => changes.change_totals(&mut expected),
            }
            let to = format!("seed-{seed}-round-{round}");
            let target = SnapshotLocation::of_new(&to, &folder.job()).unwrap();
            let edit = StateEdit::Keyed(changes.edit);
            block_on(draft.write(&edit, &target)).unwrap();
            origin = to;
            check_restored(&folder, &origin, 1 + round % 3, &expected);
        }
    }
}
