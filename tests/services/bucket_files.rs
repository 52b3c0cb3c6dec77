//! A job that reads files from a bucket and writes files to it, killed again and again: each row is there once.

use bytes::Bytes;
use floodmark::config::S3Section;
use floodmark::storage::{FileStore, StoreLocation};

use crate::support::{JobFolder, Process, s3_endpoint, s3_place};

const FILES: u64 = 6;
const ROWS: u64 = 1_800_000;
const KILLS: usize = 8;

/// A place in the bucket that belongs to this test.
struct Place {
    address: String,
    store: FileStore,
}

impl Place {
    fn new(name: &str) -> Self {
        let address = s3_place(name).trim_end_matches('/').to_owned();
        let location = StoreLocation::parse(&address, "/".as_ref()).unwrap();
        let location = location.with_s3(&S3Section {
            endpoint: Some(s3_endpoint()),
            region: Some("us-east-1".to_owned()),
            ..S3Section::default()
        });
        let store = FileStore::open(&location).unwrap();
        Self { address, store }
    }

    fn write(&self, name: &str, text: String) {
        let put = self.store.start_put(name, Bytes::from(text), || ());
        put.wait().unwrap();
    }

    fn read(&self, name: &str) -> String {
        let length = self.store.length(name).unwrap().unwrap();
        let bytes = self.store.start_read(name, 0, length).wait().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// The names of what is there, in order. The store lists some things that are not.
    fn names(&self) -> Vec<String> {
        let mut names = self.store.list().unwrap();
        names.retain(|name| self.store.length(name).unwrap().is_some());
        names.sort();
        names
    }

    /// The numbers in all files that readers see, in order.
    fn numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        for name in self.names() {
            if name.starts_with("out/part-") {
                let text = self.read(&name);
                numbers.extend(text.lines().skip(1).map(|line| {
                    let (number, _) = line.split_once(',').unwrap();
                    number.parse::<u64>().unwrap()
                }));
            }
        }
        numbers.sort_unstable();
        numbers
    }

    fn job(&self, parallelism: usize) -> String {
        let address = &self.address;
        let s3 = format!(
            "s3 = {{ endpoint = '{}', region = 'us-east-1' }}",
            s3_endpoint()
        );
        format!(
            "[job]\n\
             name = 'bucket-files'\n\
             parallelism = {parallelism}\n\
             [checkpoint]\n\
             interval = '50ms'\n\
             storage = 'checkpoints'\n\
             [[source]]\n\
             id = 'in'\n\
             type = 'file'\n\
             path = '{address}/in/*.csv'\n\
             {s3}\n\
             columns = {{ number = 'int64', text = 'string' }}\n\
             [[sink]]\n\
             id = 'out'\n\
             type = 'file'\n\
             input = 'in'\n\
             path = '{address}/out'\n\
             format = 'csv'\n\
             roll_size = '1MB'\n\
             {s3}\n"
        )
    }
}

#[test]
#[ignore = "needs S3: scripts/services.sh"]
fn each_row_of_a_bucket_comes_once_to_another_through_kills_and_changes_of_parallelism() {
    let mut random = fastrand::Rng::with_seed(11);
    let place = Place::new("files");
    for file in 0..FILES {
        let rows = (file..ROWS).step_by(FILES as usize);
        let rows = rows.map(|number| format!("{number},some text\n"));
        let header = "number,text\n".to_owned();
        place.write(
            &format!("in/{file}.csv"),
            header + &rows.collect::<String>(),
        );
    }
    place.write("in/other.txt", "not asked for".to_owned());
    let folder = JobFolder::with_job(&place.job(1));
    let (mut kills, mut resumed) = (0, 0);
    loop {
        folder.write("job.toml", &place.job(random.usize(1..=3)));
        let mut process = Process::start(&folder.path("."), &["run", "-v", "job.toml"]);
        let checkpoints = match kills < KILLS {
            true => random.usize(0..4),
            false => usize::MAX,
        };
        let has_more = (0..checkpoints).all(|_| process.log_until("checkpoint completed"));
        let ended = match has_more {
            true => process.kill(),
            false => process.wait(),
        };
        resumed += usize::from(ended.stderr.contains("resumed from a checkpoint"));
        if !has_more {
            ended.expect_code(0);
            break;
        }
        kills += 1;
    }
    assert!(place.numbers().into_iter().eq(0..ROWS), "{kills} kills");
    assert!(resumed >= 2, "{kills} kills, {resumed} resumed");
    let waiting = place
        .names()
        .into_iter()
        .filter(|name| name.starts_with("out/.pending/"));
    assert_eq!(waiting.collect::<Vec<_>>(), Vec::<String>::new());
}
