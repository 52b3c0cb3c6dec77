//! A running job that is watched and controlled from outside: the commands, and what they ask over HTTP.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::{Http, JobFolder, Process, Sums};

const TOKEN: &str = "0123456789abcdef-secret";

/// A job that runs for longer than any test, and that nothing holds up.
fn job() -> Sums {
    Sums {
        console: false,
        ..Sums::slow()
    }
}

/// Starts the job of `folder`, and waits until its server answers.
fn start(folder: &JobFolder) -> (Process, Http) {
    let mut process = folder.start();
    process.wait_for_log("the job can be watched and controlled");
    let text = fs::read_to_string(folder.path("checkpoints/sums/server.json")).unwrap();
    let server: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(server["process"], process.id());
    let address = server["address"].as_str().unwrap().parse().unwrap();
    (process, Http::at(address))
}

fn printed(folder: &JobFolder, arguments: &[&str]) -> String {
    let ended = folder.floodmark(arguments);
    assert_eq!(ended.expect_code(0), "", "{arguments:?}");
    ended.stdout
}

fn printed_json(folder: &JobFolder, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(folder, arguments)).unwrap()
}

#[test]
fn a_job_is_watched_and_stopped_from_the_command_line_and_goes_on_later() {
    let folder = JobFolder::with_job(&job().toml());
    let (process, http) = start(&folder);

    let shown = printed(&folder, &["status", "job.toml"]);
    assert!(shown.starts_with("job sums: running for "), "{shown}");
    assert!(shown.contains("\nnumbers"), "{shown}");
    let by_address = printed_json(&folder, &["status", &http.url(), "--json"]);
    assert_eq!(by_address["job"]["state"], "RUNNING");
    assert_eq!(by_address["job"]["floodmark"]["process"], process.id());

    let taken = printed_json(&folder, &["checkpoint", "job.toml", "--json"]);
    assert_eq!(taken["checkpointId"], 1);
    let manifest = format!("{}/manifest.json", taken["location"].as_str().unwrap());
    assert!(fs::exists(manifest).unwrap());
    let shown = printed(&folder, &["checkpoint", "job.toml"]);
    assert!(shown.starts_with("job sums: checkpoint 2 in "), "{shown}");

    let shown = printed(&folder, &["savepoint", "job.toml", "backups"]);
    let (_, path) = shown.trim().split_once(" in ").unwrap();
    assert!(shown.starts_with("job sums: savepoint "), "{shown}");
    assert!(path.contains("/backups/savepoint-sums-"), "{shown}");
    assert!(fs::exists(format!("{path}/manifest.json")).unwrap());
    let begun = printed(&folder, &["savepoint", "job.toml", "backups", "--detached"]);
    assert!(begun.starts_with("job sums: request "), "{begun}");

    let shown = printed(&folder, &["stop", "job.toml"]);
    assert!(
        shown.starts_with("job sums: stopped with checkpoint "),
        "{shown}"
    );
    process.wait().expect_code(0);
    assert!(!folder.path("checkpoints/sums/server.json").exists());

    for command in ["status", "checkpoint", "savepoint", "stop", "cancel"] {
        let ended = folder.floodmark(&[command, "job.toml"]);
        let log = ended.expect_code(1);
        let expected = "job sums is not running: start it with floodmark run job.toml";
        assert!(log.contains(expected), "{command}: {log}");
        let ended = folder.floodmark(&[command, &http.url()]);
        assert!(
            ended.expect_code(1).contains("does not answer"),
            "{command}"
        );
    }
    folder.write("job.toml", &Sums::fast().toml());
    folder.run().expect_code(0);
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
}

#[test]
fn a_job_is_stopped_with_a_savepoint_or_cancelled() {
    let folder = JobFolder::with_job(&job().toml());
    let (process, _) = start(&folder);
    let log = folder.floodmark(&["stop", "job.toml", "--savepoint"]);
    let log = log.expect_code(1);
    assert!(log.contains("no directory for savepoints"), "{log}");
    let arguments = ["stop", "job.toml", "--savepoint", "backups", "--json"];
    let stopped = printed_json(&folder, &arguments);
    let path = stopped["location"].as_str().unwrap();
    assert!(path.contains("/backups/savepoint-sums-"), "{stopped}");
    assert!(fs::exists(format!("{path}/manifest.json")).unwrap());
    process.wait().expect_code(0);

    let (process, _) = start(&folder);
    let shown = printed(&folder, &["cancel", "job.toml"]);
    assert_eq!(shown, "job sums ends without a last checkpoint\n");
    process.wait().expect_code(130);

    let (process, _) = start(&folder);
    let shown = printed(&folder, &["stop", "job.toml", "--drain"]);
    assert!(
        shown.starts_with("job sums: stopped with checkpoint "),
        "{shown}"
    );
    process.wait().expect_code(0);
}

/// A cancelled job loses its checkpoints if it says so, but no savepoint; one that is stopped does not.
#[test]
fn a_cancelled_job_whose_checkpoints_are_to_be_deleted_starts_from_the_beginning() {
    let deleting = Sums {
        checkpoint: "on_cancel = 'delete'\nretain = 3",
        existing: "replace",
        ..job()
    };
    let folder = JobFolder::with_job(&deleting.toml());
    let (process, http) = start(&folder);
    let config = http.get("/jobs/sums/checkpoints/config");
    let delete = json!({ "enabled": true, "delete_on_cancellation": true });
    assert_eq!(config["externalization"], delete);
    for _ in 0..2 {
        printed(&folder, &["checkpoint", "job.toml"]);
    }
    printed(&folder, &["savepoint", "job.toml", "backups"]);
    printed(&folder, &["stop", "job.toml"]);
    process.wait().expect_code(0);

    let (process, _) = start(&folder);
    printed(&folder, &["cancel", "job.toml"]);
    let ended = process.wait();
    let log = ended.expect_code(130);
    let deleted = "the checkpoints of the cancelled job are deleted (on_cancel), the next run starts from the beginning";
    assert!(log.contains(deleted), "{log}");
    assert!(log.contains("resumed from a checkpoint"), "{log}");
    assert_eq!(fs::read_dir(folder.path("backups")).unwrap().count(), 1);
    let history = printed_json(
        &folder,
        &["checkpoints", "list", "job.toml", "--history", "--json"],
    );
    let history = history.as_array().unwrap();
    let checkpoints = history.iter().filter(|row| row["is_savepoint"] == false);
    assert_eq!(checkpoints.clone().count(), 3, "{history:?}");
    for checkpoint in checkpoints {
        assert_eq!(checkpoint["discarded"], true, "{checkpoint}");
    }

    let (process, _) = start(&folder);
    let taken = printed_json(&folder, &["checkpoint", "job.toml", "--json"]);
    assert_eq!(taken["checkpointId"], 5, "no id is used again");
    let stderr = process.kill().stderr;
    assert!(!stderr.contains("resumed from a checkpoint"), "{stderr}");
}

#[test]
fn rest_answers_in_the_words_of_flink() {
    let folder = JobFolder::with_job(&job().toml());
    let (_process, http) = start(&folder);

    let overview = http.get("/jobs/overview");
    let only = &overview["jobs"][0];
    assert_eq!(
        (&only["jid"], &only["state"]),
        (&json!("sums"), &json!("RUNNING"))
    );
    assert_eq!(
        (&only["tasks"]["total"], &only["tasks"]["running"]),
        (&json!(4), &json!(4))
    );
    let details = http.get("/jobs/sums");
    let vertices = details["vertices"].as_array().unwrap();
    let ids: Vec<&Value> = vertices.iter().map(|vertex| &vertex["id"]).collect();
    assert_eq!(ids, ["numbers", "sums"]);
    assert_eq!(
        details["plan"]["nodes"][1]["inputs"][0]["ship_strategy"],
        "HASH"
    );
    let pressure = http.get("/jobs/sums/vertices/sums/backpressure");
    assert_eq!(pressure["subtasks"].as_array().unwrap().len(), 2);
    assert_eq!(
        http.get("/jobs/sums/exceptions")["root-exception"],
        Value::Null
    );
    let config = http.get("/jobs/sums/checkpoints/config");
    let retain = json!({ "enabled": true, "delete_on_cancellation": false });
    assert_eq!(config["externalization"], retain);
    assert_eq!(config["mode"], "exactly_once");

    let begun = http.send(
        "POST",
        "/jobs/sums/checkpoints",
        &[],
        r#"{"triggerId": "mine"}"#,
    );
    assert_eq!(begun.status, 202, "{}", begun.body);
    assert_eq!(begun.json()["request-id"], "mine");
    // The same request once more is the same request; another one is answered when it is decided.
    let again = http.send(
        "POST",
        "/jobs/sums/checkpoints",
        &[],
        r#"{"triggerId": "mine"}"#,
    );
    assert_eq!(again.json()["request-id"], "mine");
    let taken = http.send("POST", "/jobs/sums/checkpoints?wait=true", &[], "");
    assert_eq!(taken.json()["status"]["id"], "COMPLETED", "{}", taken.body);
    let id = taken.json()["operation"]["checkpointId"].as_u64().unwrap();
    let mine = http.get("/jobs/sums/checkpoints/mine");
    assert_eq!(mine["status"]["id"], "COMPLETED");
    assert!(mine["operation"]["checkpointId"].as_u64().unwrap() <= id);

    let checkpoints = http.get("/jobs/sums/checkpoints");
    assert_eq!(checkpoints["counts"]["completed"], id);
    assert_eq!(checkpoints["latest"]["completed"]["id"], id);
    assert_eq!(checkpoints["history"][0]["status"], "COMPLETED");
    assert!(checkpoints["summary"]["checkpointed_size"]["max"].as_u64() > Some(0));
    let one = http.get(&format!("/jobs/sums/checkpoints/details/{id}"));
    assert_eq!(one["tasks"]["sums"]["num_acknowledged_subtasks"], 2);
    let subtasks = http.get(&format!(
        "/jobs/sums/checkpoints/details/{id}/subtasks/sums"
    ));
    let rows = subtasks["subtasks"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["status"], "completed");
        assert!(row["alignment"]["duration"].is_u64() && row["start_delay"].is_u64());
    }
    let bytes: u64 = rows
        .iter()
        .map(|row| row["checkpointed_size"].as_u64().unwrap())
        .sum();
    assert_eq!(one["tasks"]["sums"]["checkpointed_size"], bytes);

    let body = json!({ "target-directory": folder.path("backups") }).to_string();
    let savepoint = http.send("POST", "/jobs/sums/savepoints?wait=true", &[], &body);
    let location = savepoint.json()["operation"]["location"].clone();
    assert!(fs::exists(location.as_str().unwrap()).unwrap());
    assert_eq!(
        http.get("/jobs/sums/checkpoints")["latest"]["savepoint"]["is_savepoint"],
        true
    );
    let body = json!({ "savepoint-path": location }).to_string();
    let disposed = http.send("POST", "/savepoint-disposal?wait=true", &[], &body);
    assert_eq!(disposed.json()["operation"], json!({}), "{}", disposed.body);
    assert!(!fs::exists(location.as_str().unwrap()).unwrap());
    let failed = http.send("POST", "/savepoint-disposal?wait=true", &[], &body);
    assert!(failed.json()["operation"]["failure-cause"]["stack-trace"].is_string());
}

#[test]
fn what_makes_no_sense_is_refused_with_what_is_wrong() {
    let folder = JobFolder::with_job(&job().toml());
    let (_process, http) = start(&folder);
    let long = format!("{{\"triggerId\": \"{}\"}}", "x".repeat(20_000));
    for (method, path, body, status, said) in [
        ("GET", "/nothing", "", 404, "there is nothing at /nothing"),
        (
            "GET",
            "/jobs/other",
            "",
            404,
            "job other is not here: this process runs job sums",
        ),
        (
            "DELETE",
            "/jobs/sums",
            "",
            405,
            "/jobs/sums is not done by DELETE",
        ),
        (
            "PATCH",
            "/jobs/sums?mode=stop",
            "",
            400,
            "the only mode is cancel",
        ),
        (
            "GET",
            "/jobs/sums/checkpoints/unknown",
            "",
            404,
            "there is no request unknown",
        ),
        (
            "GET",
            "/jobs/sums/checkpoints/details/99",
            "",
            404,
            "the history has no checkpoint 99",
        ),
        (
            "GET",
            "/jobs/sums/checkpoints/details/x",
            "",
            400,
            "x is no checkpoint's id",
        ),
        (
            "GET",
            "/jobs/sums/vertices/x/backpressure",
            "",
            404,
            "there is no vertex x",
        ),
        (
            "POST",
            "/jobs/sums/checkpoints",
            "{",
            400,
            "the body is not as it should be",
        ),
        (
            "POST",
            "/jobs/sums/checkpoints",
            r#"{"checkpointType": "INCREMENTAL"}"#,
            400,
            "INCREMENTAL",
        ),
        (
            "POST",
            "/jobs/sums/checkpoints",
            r#"{"triggerId": "a b"}"#,
            400,
            "triggerId must be",
        ),
        (
            "POST",
            "/jobs/sums/checkpoints",
            &long,
            413,
            "the body cannot be read",
        ),
        (
            "POST",
            "/jobs/sums/savepoints",
            r#"{"cancel-job": true}"#,
            400,
            "/stop",
        ),
        (
            "POST",
            "/savepoint-disposal",
            "",
            400,
            "savepoint-path is missing",
        ),
    ] {
        let answer = http.send(method, path, &[], body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(
            answer.error().contains(said),
            "{method} {path}: {}",
            answer.body
        );
    }
    assert_eq!(http.get("/jobs/sums")["state"], "RUNNING");
}

#[test]
fn no_page_of_elsewhere_reaches_a_job() {
    let folder = JobFolder::with_job(&job().toml());
    let (process, http) = start(&folder);
    let rebound = http.send(
        "GET",
        "/jobs/overview",
        &[("Host", "evil.example:8081")],
        "",
    );
    assert_eq!(rebound.status, 403, "{}", rebound.body);
    assert!(rebound.error().contains("not this machine's"));
    let origin = [("Origin", "http://evil.example")];
    for (method, path) in [
        ("POST", "/jobs/sums/stop"),
        ("POST", "/jobs/sums/checkpoints"),
        ("PATCH", "/jobs/sums?mode=cancel"),
    ] {
        let answer = http.send(method, path, &origin, "");
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
        assert!(answer.error().contains("another origin"), "{}", answer.body);
    }
    // A form of another site sends no origin in some browsers, but says that much.
    let site = [("Sec-Fetch-Site", "cross-site")];
    let answer = http.send("POST", "/jobs/sums/stop", &site, "");
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(http.get("/jobs/sums")["floodmark"]["phase"], "running");
    let own = http.url();
    let answer = http.send("PATCH", "/jobs/sums?mode=cancel", &[("Origin", &own)], "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    process.wait().expect_code(130);
}

#[test]
fn a_token_is_asked_of_everybody_and_shown_to_nobody() {
    let toml = job().toml() + "[server]\ntoken_file = 'token'\n";
    let folder = JobFolder::with_job(&toml);
    folder.write("token", TOKEN);
    let (process, http) = start(&folder);
    for bearer in [None, Some("Bearer wrong-0123456789"), Some(TOKEN)] {
        let headers: Vec<(&str, &str)> = bearer
            .map(|bearer| ("Authorization", bearer))
            .into_iter()
            .collect();
        for (method, path) in [
            ("GET", "/jobs/overview"),
            ("GET", "/metrics"),
            ("POST", "/jobs/sums/stop"),
        ] {
            let answer = http.send(method, path, &headers, "");
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
            assert!(!answer.body.contains(TOKEN));
        }
    }
    let bearer = format!("Bearer {TOKEN}");
    let answer = http.send("GET", "/jobs/overview", &[("Authorization", &bearer)], "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let refused = folder.floodmark(&["status", &http.url()]);
    let log = refused.expect_code(2);
    assert!(log.contains("wants a token"), "{log}");
    printed(&folder, &["status", "job.toml"]);
    printed(&folder, &["stop", "job.toml"]);
    let ended = process.wait();
    assert!(!ended.expect_code(0).contains(TOKEN));
}

#[test]
fn only_a_loopback_address_does_without_a_token() {
    let toml = job().toml() + "[server]\naddress = '0.0.0.0:0'\n";
    let folder = JobFolder::with_job(&toml);
    for command in ["run", "validate"] {
        let ended = folder.floodmark(&[command, "job.toml"]);
        let log = ended.expect_code(2);
        assert!(
            log.contains("server.address: other machines can reach 0.0.0.0:0"),
            "{log}"
        );
    }
    assert!(!folder.path("out").exists());
    folder.write(
        "job.toml",
        &toml.replace("address = '0.0.0.0:0'", "enabled = false"),
    );
    let ended = folder.floodmark(&["status", "job.toml"]);
    let log = ended.expect_code(2);
    assert!(
        log.contains("job sums has no server: job.toml sets server.enabled = false"),
        "{log}"
    );
}

#[test]
fn an_address_that_another_process_has_keeps_the_job_from_starting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let toml = job().toml() + &format!("[server]\naddress = '{address}'\n");
    let folder = JobFolder::with_job(&toml);
    let ended = folder.run();
    let log = ended.expect_code(1);
    assert!(
        log.contains(&format!("server.address: listen at {address}: ")),
        "{log}"
    );
    assert!(!folder.path("out").exists());
}

/// All samples of a Prometheus text by their names and labels. Every line is either a comment or a sample.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn metrics_are_prometheus_text_and_agree_with_what_is_listed() {
    let folder = JobFolder::with_job(&job().toml());
    let (_process, http) = start(&folder);
    printed(&folder, &["checkpoint", "job.toml"]);
    let answer = http.send("GET", "/metrics", &[], "");
    assert_eq!(answer.status, 200);
    let samples = samples(&answer.body);
    for (name, expected) in [
        ("floodmark_checkpoints_triggered_total", 1.0),
        ("floodmark_checkpoints_completed_total", 1.0),
        ("floodmark_checkpoints_in_progress", 0.0),
        ("floodmark_last_checkpoint_id", 1.0),
        ("floodmark_checkpoint_bytes_count", 1.0),
        (
            "floodmark_barrier_stall_seconds_count{operator=\"sums\",subtask=\"1\"}",
            1.0,
        ),
        (
            "floodmark_checkpoint_alignment_seconds_count{operator=\"sums\",subtask=\"0\"}",
            1.0,
        ),
    ] {
        assert_eq!(
            samples.get(name),
            Some(&expected),
            "{name} in\n{}",
            answer.body
        );
    }
    let report = &http.get("/jobs/sums/checkpoints")["latest"]["completed"];
    let bytes = samples["floodmark_last_checkpoint_bytes"];
    assert_eq!(report["checkpointed_size"].as_f64(), Some(bytes));
    let initialised = "floodmark_initialization_seconds{operator=\"numbers\",subtask=\"0\"}";
    assert!(samples.contains_key(initialised), "{}", answer.body);
}

#[test]
fn the_history_outlives_the_process_and_damage_to_it_harms_nothing() {
    let folder = JobFolder::with_job(&job().toml());
    let history = |folder: &JobFolder| {
        let arguments = ["checkpoints", "list", "job.toml", "--history", "--json"];
        printed_json(folder, &arguments)
    };
    assert_eq!(history(&folder), json!([]));
    let (process, _) = start(&folder);
    printed(&folder, &["checkpoint", "job.toml"]);
    printed(&folder, &["stop", "job.toml"]);
    process.wait().expect_code(0);
    let rows = history(&folder);
    let shown: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["id"], &row["kind"]))
        .collect();
    assert_eq!(
        shown,
        [
            (&json!(2), &json!("stop")),
            (&json!(1), &json!("requested"))
        ]
    );
    let part = &rows[0]["subtasks"][0];
    for figure in [
        "start_delay_micros",
        "alignment_micros",
        "sync_micros",
        "async_micros",
        "bytes",
    ] {
        assert!(part[figure].is_u64(), "{figure} of {part}");
    }
    let table = printed(
        &folder,
        &["checkpoints", "list", "job.toml", "--history", "--subtasks"],
    );
    assert!(table.contains("sums[1]"), "{table}");

    let (process, http) = start(&folder);
    let checkpoints = http.get("/jobs/sums/checkpoints");
    assert_eq!(checkpoints["history"].as_array().unwrap().len(), 2);
    assert_eq!(checkpoints["counts"]["restored"], 1);
    assert_eq!(checkpoints["latest"]["restored"]["id"], 2);
    printed(&folder, &["stop", "job.toml"]);
    process.wait().expect_code(0);

    folder.write(
        "checkpoints/sums/history.json",
        "{\"format_version\": 1, \"cou",
    );
    let log = folder.floodmark(&["checkpoints", "list", "job.toml", "--history"]);
    assert!(log.expect_code(1).contains("the history of checkpoints: "));
    folder.write("job.toml", &Sums::fast().toml());
    let ended = folder.run();
    let log = ended.expect_code(0);
    assert!(
        log.contains("the history of checkpoints cannot be read, a new one begins"),
        "{log}"
    );
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
    assert_eq!(history(&folder)[0]["kind"], "final");
}
