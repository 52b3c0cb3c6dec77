//! Checkpoints and savepoints in a bucket of a real server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bytes::Bytes;
use floodmark::config::S3Section;
use floodmark::model::{CheckpointId, SubtaskId};
use floodmark::storage::{
    BlobStore, ObjectKind, ObjectName, StorageError, StoragePaths, StoreLocation,
};

use crate::support::{s3_endpoint, s3_place};

/// How many records the job reads in all.
const ROWS: u64 = 30_000;
/// How many it reads in a second, if it is to be interrupted.
const RATE: u64 = 4_000;

/// A job with its folder, and its place in the bucket.
struct BucketJob {
    folder: tempfile::TempDir,
    place: String,
}

/// A job that runs.
struct Running {
    process: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl BucketJob {
    fn new(name: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            place: s3_place(name),
        }
    }

    /// Writes the job's file, whose output goes to a folder of this name. Without a rate it reads as fast as it can.
    fn write(&self, file: &str, output: &str, storage: &str, rate: Option<u64>) {
        let rate = rate.map_or_else(String::new, |rate| format!("rate = {rate}"));
        let place = &self.place;
        let endpoint = s3_endpoint();
        let text = format!(
            "[job]
            name = 'sums'
            parallelism = 2
            [checkpoint]
            interval = '100ms'
            storage = '{storage}'
            savepoint_dir = '{place}savepoints'
            retain = 2
            lease = '2s'
            [checkpoint.s3]
            endpoint = '{endpoint}'
            [restart]
            strategy = 'none'
            [[source]]
            id = 'numbers'
            type = 'generator'
            schema = 'key-value'
            rows = {ROWS}
            {rate}
            [[operator]]
            id = 'sums'
            type = 'aggregate'
            input = 'numbers'
            key = ['key']
            aggregates = {{ total = 'sum(value)' }}
            [[sink]]
            id = 'out'
            type = 'file'
            input = 'sums'
            path = '{output}'
            format = 'json'
            roll_interval = '0s'
            existing = 'keep'
            "
        );
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// The job with its checkpoints in the bucket.
    fn write_job(&self, rate: Option<u64>) {
        let storage = format!("{}checkpoints", self.place);
        self.write("job.toml", "out", &storage, rate);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AWS_ENDPOINT_URL", s3_endpoint())
            .env_remove("FLOODMARK_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which must be a good one. Gives what it has printed.
    fn floodmark(&self, arguments: &[&str]) -> String {
        let ended = self.command(arguments).output().unwrap();
        let log = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{arguments:?}: {log}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Runs a command to its end, which must be a bad one. Gives what it says of that.
    fn refused(&self, arguments: &[&str]) -> String {
        refusal(&self.command(arguments).output().unwrap())
    }

    /// Starts the job, and waits until some checkpoints are complete.
    fn start(&self) -> Running {
        let mut command = self.command(&["run", "-v", "job.toml"]);
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        for _ in 0..4 {
            wait_for(&mut log, "checkpoint completed");
        }
        Running { process, log }
    }

    /// What the sink has committed, sorted.
    fn committed(&self, output: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for file in fs::read_dir(self.folder.path().join(output)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("part-") {
                let text = fs::read_to_string(&path).unwrap();
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        lines.sort_unstable();
        lines
    }

    /// What the job commits when nothing happens to it.
    fn expected(&self) -> Vec<String> {
        self.write("undisturbed.toml", "expected", "local", None);
        self.floodmark(&["run", "undisturbed.toml"]);
        let expected = self.committed("expected");
        assert_eq!(expected.len() as u64, ROWS);
        expected
    }
}

impl Running {
    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn wait_for(log: &mut BufReader<std::process::ChildStderr>, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "it has ended: {all}");
        all.push_str(&line);
        if line.contains(words) {
            return line;
        }
    }
}

/// The store at an address in the bucket of the tests.
fn store_at(address: &str) -> BlobStore {
    let section = S3Section {
        endpoint: Some(s3_endpoint()),
        ..S3Section::default()
    };
    let location = StoreLocation::parse(address, Path::new("/")).unwrap();
    BlobStore::open(&location.with_s3(&section)).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

fn refusal(ended: &Output) -> String {
    let log = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "{log}");
    log
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn a_job_goes_on_from_a_bucket_when_it_was_killed_and_nobody_else_runs_it_meanwhile() {
    let job = BucketJob::new("killed");
    let expected = job.expected();
    job.write_job(Some(RATE));
    for _ in 0..2 {
        let running = job.start();
        let refused = job.refused(&["run", "job.toml"]);
        let holder = format!("process {} holds it", running.process.id());
        assert!(refused.contains(&holder), "{refused}");
        running.kill();
    }
    job.write_job(None);
    job.floodmark(&["run", "job.toml"]);
    assert!(job.committed("out") == expected);
    let listed = job.floodmark(&["checkpoints", "list", "job.toml"]);
    assert!(
        listed.lines().count() <= 3,
        "what is gone is listed: {listed}"
    );
    assert!(!listed.contains("damaged"), "{listed}");
    job.floodmark(&["checkpoints", "verify", "job.toml", "--all"]);
}

/// What the bucket holds of keyed state is garbled in between, so whoever reads it finds every checkpoint damaged.
#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn working_segments_that_survive_are_taken_up_and_keyed_state_is_not_downloaded() {
    let job = BucketJob::new("local");
    let expected = job.expected();
    let storage = format!("{}checkpoints", job.place);
    let write = |rate| {
        job.write_job(rate);
        let path = job.folder.path().join("job.toml");
        let text = fs::read_to_string(&path).unwrap();
        let segments = job.folder.path().join("segments");
        let segments = segments.display();
        let state = format!("[state]\nlocal_recovery = true\ndirectory = '{segments}'\n");
        fs::write(&path, format!("{text}\n{state}")).unwrap();
    };
    write(Some(RATE));
    job.start().kill();
    let store = store_at(&storage);
    let paths = StoragePaths::new("sums").unwrap();
    block_on(async {
        let shared = paths.shared_folder();
        let objects = store.list(&shared).await.unwrap();
        assert!(!objects.is_empty());
        for object in objects {
            let path = paths.file(&shared, &object.name);
            let length = store.length(&path).await.unwrap() as usize;
            let garbage = Bytes::from(vec![0x5a; length]);
            store.replace(&path, &path, garbage).await.unwrap();
        }
    });
    write(None);
    job.floodmark(&["run", "job.toml"]);
    assert!(job.committed("out") == expected);
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn a_frozen_owner_from_which_the_job_was_taken_commits_nothing_when_it_thaws() {
    let job = BucketJob::new("frozen");
    let expected = job.expected();
    job.write_job(Some(RATE));
    let mut frozen = job.start();
    frozen.signal("STOP");
    job.write_job(None);
    job.floodmark(&["run", "job.toml", "--take-over"]);
    assert!(job.committed("out") == expected);
    let listed = job.floodmark(&["checkpoints", "list", "job.toml", "--json"]);
    frozen.signal("CONT");
    wait_for(&mut frozen.log, "does not belong to this process any more");
    assert_eq!(frozen.process.wait().unwrap().code(), Some(1));
    assert!(job.committed("out") == expected);
    let after = job.floodmark(&["checkpoints", "list", "job.toml", "--json"]);
    assert_eq!(after, listed);
}

/// Another folder for temporary files stands for another machine: there the lock is not seen.
#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn on_another_machine_an_owner_is_left_alone_while_its_heartbeat_is_seen() {
    let job = BucketJob::new("machines");
    let expected = job.expected();
    job.write_job(Some(RATE));
    let elsewhere = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = job.command(&["run", "job.toml"]);
        command.env("TMPDIR", elsewhere.path()).output().unwrap()
    };
    let mut running = job.start();
    let refused = refusal(&run());
    assert!(refused.contains("is already running"), "{refused}");
    running.signal("STOP");
    job.write_job(None);
    let taken = run();
    assert!(
        taken.status.success(),
        "{}",
        String::from_utf8_lossy(&taken.stderr)
    );
    running.signal("CONT");
    wait_for(&mut running.log, "does not belong to this process any more");
    assert!(job.committed("out") == expected);
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn a_savepoint_in_a_bucket_is_listed_verified_started_from_and_disposed_of() {
    let job = BucketJob::new("savepoints");
    let expected = job.expected();
    job.write_job(Some(RATE));
    let running = job.start();
    job.floodmark(&["stop", "job.toml", "--savepoint"]);
    drop(running);
    let directory = format!("{}savepoints", job.place);
    let listed = job.floodmark(&["savepoint", "list", &directory, "--json"]);
    let start = listed.find("s3://").unwrap();
    let path = listed[start..].split('"').next().unwrap();
    assert!(path.starts_with(&directory), "{listed}");
    job.floodmark(&["savepoint", "inspect", path]);
    job.floodmark(&["savepoint", "verify", path]);
    job.floodmark(&["state", "ls", path]);

    // Into a store on the disk.
    job.write("local.toml", "out", "elsewhere", None);
    job.floodmark(&["run", "local.toml", "--from", path]);
    assert!(job.committed("out") == expected);

    let patched = format!("{}patched", job.place);
    let rows = job.folder.path().join("rows.jsonl");
    let read = [
        "state",
        "read",
        path,
        "--operator",
        "sums",
        "--state",
        "aggregate",
    ];
    let read = job.floodmark(&read);
    fs::write(&rows, read.lines().next().unwrap()).unwrap();
    let write = [
        "state",
        "write",
        "rows.jsonl",
        "--from",
        path,
        "--operator",
        "sums",
    ];
    let write = [&write[..], &["--state", "aggregate", "--to", &patched]].concat();
    job.floodmark(&write);
    job.floodmark(&["savepoint", "verify", &patched]);
    let refused = job.refused(&write);
    assert!(refused.contains("is there already"), "{refused}");

    job.floodmark(&["savepoint", "dispose", path]);
    let listed = job.floodmark(&["savepoint", "list", &directory, "--json"]);
    assert!(!listed.contains("s3://"), "{listed}");
    let refused = job.refused(&["savepoint", "inspect", path]);
    assert!(refused.contains("it holds no manifest"), "{refused}");
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn a_store_that_refuses_is_named_at_once_with_what_to_do() {
    let job = BucketJob::new("refused");
    job.write_job(None);
    let mut command = job.command(&["run", "job.toml"]);
    let ended = command
        .env("AWS_SECRET_ACCESS_KEY", "wrong-secret")
        .output();
    let refused = refusal(&ended.unwrap());
    assert!(refused.contains("check the credentials"), "{refused}");
    assert!(!refused.contains("wrong-secret"), "{refused}");
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn objects_of_many_parts_come_back_and_only_one_of_two_creates_an_object() {
    let store = store_at(&s3_place("objects"));
    let paths = StoragePaths::new("job").unwrap();
    let object = |number| {
        let subtask = SubtaskId::new("sum".into(), number);
        let kind = ObjectKind::Base;
        paths.object(&ObjectName::new(CheckpointId(1), &subtask, 1, 0, kind))
    };
    block_on(async {
        // Chunks that do not fit into parts.
        let chunk = |seed: u8| Bytes::from(vec![seed; 3 << 20]);
        let sections: Vec<Vec<Bytes>> = (0..3)
            .map(|section| (0..5).map(|number| chunk(section * 5 + number)).collect())
            .collect();
        let first = object(0);
        let stored = store.put(&first, &sections).await.unwrap();
        assert_eq!(store.length(&first).await.unwrap(), 45 << 20);
        let copied = store.copy(&object(1), &store, &first, &stored[1..]).await;
        assert_eq!(copied.unwrap().len(), 2);
        for (section, stored) in sections.iter().zip(&stored) {
            let read = store.read_range(&first, stored.offset, stored.length).await;
            assert!(read.unwrap() == section.concat());
        }
        let listed = store.list(&paths.shared_folder()).await.unwrap();
        assert_eq!(listed.len(), 2);
        store.delete_all(&[first.clone(), object(1)]).await.unwrap();
        let gone = store.length(&first).await.unwrap_err();
        assert!(matches!(gone, StorageError::NotFound { .. }), "{gone}");

        store.prove_conditional_put(&paths.probe()).await.unwrap();
        let manifest = paths.manifest(CheckpointId(1));
        store.create(&manifest, "first".into()).await.unwrap();
        let second = store.create(&manifest, "second".into()).await;
        let taken = second.unwrap_err();
        assert!(
            matches!(taken, StorageError::AlreadyExists { .. }),
            "{taken}"
        );
        // An answer that was lost on the way is made up for.
        store.create(&manifest, "first".into()).await.unwrap();
        assert_eq!(store.read(&manifest).await.unwrap(), "first");
    });
}
