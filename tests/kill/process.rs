//! A process that is killed at random moments and started again, until it is done.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How often each job is killed at least.
const KILLS: usize = 9;

/// The seed of the kill moments: the environment's, or else this one.
pub(crate) fn seed(otherwise: u64) -> u64 {
    let seed = std::env::var("FLOODMARK_SEED").map_or(otherwise, |seed| {
        seed.parse().expect("FLOODMARK_SEED is a whole number")
    });
    println!("seed {seed}");
    seed
}

/// What came about on the way.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The runs that began with records that had been in flight.
    pub(crate) in_flight: usize,
    /// The bases that were stored while they were copied.
    pub(crate) streamed_bases: usize,
}

/// Runs the job at `path` until it was killed often enough and has ended; `check` is called each time it has ended.
///
/// Everything that the job writes lies in `folder`: its working segments in `state`, which are sometimes lost with the
/// process, its checkpoints in `checkpoints`, and what it puts out in `out`.
pub(crate) fn kill_again_and_again(
    folder: &Path,
    path: &Path,
    interval_millis: u64,
    seed: u64,
    check: impl Fn(),
) -> Seen {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kills, mut resumed, mut taken_up) = (0, 0, 0);
    let mut seen = Seen::default();
    // A fast machine may be done with the job before it was killed often enough: then it is done once more.
    while kills < KILLS {
        loop {
            // Once it has been killed often enough, it may run to its end.
            let moment = (kills < KILLS).then(|| Moment {
                checkpoints: random.usize(0..4),
                then: Duration::from_millis(random.u64(0..2 * interval_millis)),
            });
            if random.u8(0..3) == 0 {
                // There may be none yet.
                let _ = fs::remove_dir_all(folder.join("state"));
            }
            let holds_in_flight = newest_holds_in_flight(&folder.join("checkpoints"));
            let (ending, log) = run(path, moment);
            assert!(
                !log.contains("surviving segments are of no use"),
                "seed {seed}: what survives a kill is whole, or is seen at once not to be:\n{log}"
            );
            let has_resumed = log.contains("resumed from a checkpoint");
            resumed += usize::from(has_resumed);
            seen.in_flight += usize::from(has_resumed && holds_in_flight);
            seen.streamed_bases += log.matches("a base was stored while it was copied").count();
            taken_up += usize::from(log.contains("surviving segments are taken up"));
            match ending {
                Ending::Killed => kills += 1,
                Ending::Done => break,
            }
        }
        check();
        println!("{kills} kills, {resumed} resumed, {taken_up} from surviving segments; {seen:?}");
        fs::remove_dir_all(folder.join("out")).unwrap();
        fs::remove_dir_all(folder.join("checkpoints")).unwrap();
    }
    // Else the kills came too early to try anything but the start.
    assert!(
        resumed >= KILLS / 2,
        "seed {seed}: only {resumed} runs began from a checkpoint"
    );
    assert!(
        taken_up > 0,
        "seed {seed}: no run began from surviving segments"
    );
    seen
}

/// Whether the newest complete checkpoint holds records that were in flight.
fn newest_holds_in_flight(checkpoints: &Path) -> bool {
    let manifests = glob::glob(&format!("{}/*/chk-*/manifest.json", checkpoints.display()));
    let id = |path: &Path| -> Option<u64> {
        let folder = path.parent()?.file_name()?.to_str()?;
        folder.strip_prefix("chk-")?.parse().ok()
    };
    let manifests = manifests.unwrap().map_while(Result::ok);
    let newest = manifests.max_by_key(|path| id(path));
    newest.is_some_and(|path| fs::read_to_string(path).unwrap().contains("\"in_flight\""))
}

/// When a run is killed.
struct Moment {
    /// After it has completed so many checkpoints,
    checkpoints: usize,
    /// and then so much later.
    then: Duration,
}

enum Ending {
    Killed,
    Done,
}

/// Runs the job until it ends, or kills it at a moment. Gives its log too.
fn run(path: &Path, moment: Option<Moment>) -> (Ending, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_floodmark"))
        .args(["run", "-v"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = mpsc::sync_channel(1024);
    let log = thread::scope(|scope| {
        // Reads until the process is gone, whatever way it goes.
        scope.spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                sender.send(line).unwrap();
            }
        });
        let mut log = String::new();
        if let Some(moment) = moment
            && wait_for_checkpoints(&lines, moment.checkpoints, &mut log)
        {
            wait(moment.then);
            kill(&mut child);
        }
        log.extend(lines.iter().map(|line| line + "\n"));
        log
    });
    let status = child.wait().unwrap();
    if status.success() {
        return (Ending::Done, log);
    }
    assert_eq!(status.signal(), Some(9), "{status}:\n{log}");
    (Ending::Killed, log)
}

/// Whether the process has completed so many checkpoints; if not, it has ended before.
fn wait_for_checkpoints(lines: &mpsc::Receiver<String>, count: usize, log: &mut String) -> bool {
    let mut completed = 0;
    while completed < count {
        let Ok(line) = lines.recv() else {
            return false;
        };
        completed += usize::from(line.contains("checkpoint completed"));
        log.push_str(&line);
        log.push('\n');
    }
    true
}

/// Lets the process run on for a while. This decides only where it is hit, not what the test expects.
fn wait(duration: Duration) {
    let (_sender, nothing) = mpsc::sync_channel::<()>(1);
    // Nobody ever sends: the end of the wait is the event.
    let _ = nothing.recv_timeout(duration);
}

/// SIGKILL: the process has no chance to do anything about it.
fn kill(child: &mut Child) {
    child.kill().unwrap();
}
