//! A job with its checkpoints on S3 and working segments that outlive its process: a restart downloads what is missing on
//! this machine, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::market_lag::COMPLETED;
use crate::support::{Fate, JobFolder, Process, Proxy, http_proxy, s3_endpoint, s3_place};

fn job(store: &Proxy) -> JobFolder {
    JobFolder::with_job(&format!(
        "[job]\n\
         name = 'local'\n\
         parallelism = 2\n\
         [checkpoint]\n\
         interval = '200ms'\n\
         storage = '{}checkpoints'\n\
         [checkpoint.s3]\n\
         endpoint = 'http://{}'\n\
         [state]\n\
         local_recovery = true\n\
         directory = 'state'\n\
         [[source]]\n\
         id = 'numbers'\n\
         type = 'generator'\n\
         schema = 'key-value'\n\
         keys = 20_000\n\
         rate = 20_000\n\
         [[operator]]\n\
         id = 'sums'\n\
         type = 'aggregate'\n\
         input = 'numbers'\n\
         key = ['key']\n\
         aggregates = {{ total = 'sum(value)' }}\n\
         [[sink]]\n\
         id = 'out'\n\
         type = 'blackhole'\n\
         input = 'sums'\n",
        s3_place("local-copy"),
        store.address
    ))
}

/// Runs the job until it has completed some checkpoints, and kills it.
fn run(folder: &JobFolder) -> String {
    let mut process = Process::start(&folder.path("."), &["run", "-v", "job.toml"]);
    for _ in 0..3 {
        process.wait_for_log(COMPLETED);
    }
    let ended = process.kill();
    assert_eq!(ended.code, None, "{}", ended.stderr);
    ended.stderr
}

/// The folder of this name, wherever it is below another.
fn find(below: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(below).ok()?;
    let folders = entries.map(|entry| entry.unwrap().path());
    let mut folders = folders.filter(|path| path.is_dir());
    folders.find_map(|path| match path.ends_with(name) {
        true => Some(path),
        false => find(&path, name),
    })
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn a_restart_downloads_only_the_state_that_is_missing_on_this_machine() {
    let store = http_proxy(&s3_endpoint());
    let downloads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&downloads);
    store.set(move |passing| {
        let is_state = passing.call.starts_with("GET ") && passing.call.contains("/shared/");
        if is_state && !passing.is_answer {
            seen.lock().unwrap().push(passing.call.to_owned());
        }
        Fate::Pass
    });
    let take_downloads = || std::mem::take(&mut *downloads.lock().unwrap());
    let folder = job(&store);
    run(&folder);
    take_downloads();

    let log = run(&folder);
    assert!(log.contains("resumed from a checkpoint"), "{log}");
    let taken_up = log.matches("surviving segments are taken up").count();
    assert_eq!(taken_up, 2, "{log}");
    let downloaded = take_downloads();
    assert!(downloaded.is_empty(), "{downloaded:?}");

    fs::remove_dir_all(find(&folder.path("state"), "sums-0").unwrap()).unwrap();
    let log = run(&folder);
    let taken_up = log.matches("surviving segments are taken up").count();
    assert_eq!(taken_up, 1, "{log}");
    let downloaded = take_downloads();
    let is_of_first = |call: &String| call.contains("-sums-0-");
    assert!(
        !downloaded.is_empty() && downloaded.iter().all(is_of_first),
        "{downloaded:?}"
    );
}
