//! A process of the binary under test.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// How long a test waits for the process's next word. It is never reached unless the process hangs.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// How many printed lines can wait for the test. Beyond that, and what a pipe holds, the process has to wait for it.
const PRINTED_LINES_MAX: usize = 64;

/// How many logged lines can wait for the test, far more than a process logs.
const LOGGED_LINES_MAX: usize = 100_000;

/// A running `floodmark`. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    printed: Receiver<String>,
    logged: Receiver<String>,
    /// The log as far as the test has looked at it.
    log: String,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; nothing when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it has printed that the test had not looked at yet.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts `floodmark` in `folder`.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
        command
            .args(arguments)
            .env_remove("FLOODMARK_LOG")
            .env_remove("FLOODMARK_TOKEN");
        Self::start_command(folder, command)
    }

    /// Starts something else in `folder`, which embeds the engine.
    pub(crate) fn start_command(folder: &Path, mut command: Command) -> Self {
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            printed: lines_of(child.stdout.take().unwrap(), PRINTED_LINES_MAX),
            logged: lines_of(child.stderr.take().unwrap(), LOGGED_LINES_MAX),
            child,
            log: String::new(),
        }
    }

    /// Starts `floodmark` in `folder` with a standard output that is closed after the first lines.
    pub(crate) fn start_with_closed_output(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = Self::start(folder, arguments);
        process.printed = sync_channel(1).1;
        process
    }

    /// Runs `floodmark` in `folder` until it ends.
    pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
        Self::start(folder, arguments).wait()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it prints another line.
    pub(crate) fn wait_for_stdout(&mut self) {
        match self.printed.recv_timeout(SILENCE_MAX) {
            Ok(_) => {}
            Err(end) => panic!("no line on standard output, {end}:\n{}", self.rest_of_log()),
        }
    }

    /// Waits until it logs a line that contains `text`. It is not read from meanwhile.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let said = self.log_until(text);
        assert!(said, "it does not say {text:?}, and ends:\n{}", self.log);
    }

    /// Reads its log up to a line that contains `text`. Gives whether there is one, or it has ended without.
    pub(crate) fn log_until(&mut self, text: &str) -> bool {
        loop {
            match self.logged.recv_timeout(SILENCE_MAX) {
                Ok(line) => {
                    self.note(&line);
                    if line.contains(text) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it says nothing, not even {text:?}:\n{}", self.log)
                }
            }
        }
    }

    /// Sends it the signal of this name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let mut stdout = String::new();
        // What it logs does not hold it up, so it can be read last.
        loop {
            match self.printed.recv_timeout(SILENCE_MAX) {
                Ok(line) => stdout.extend([line.as_str(), "\n"]),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs:\n{}", self.rest_of_log()),
            }
        }
        loop {
            match self.logged.recv_timeout(SILENCE_MAX) {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs:\n{}", self.log),
            }
        }
        Ended {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr: std::mem::take(&mut self.log),
        }
    }

    /// Kills it, so that it has no chance to do anything about it.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.wait()
    }

    fn note(&mut self, line: &str) {
        self.log.extend([line, "\n"]);
    }

    fn rest_of_log(&mut self) -> &str {
        while let Ok(line) = self.logged.try_recv() {
            self.note(&line);
        }
        &self.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Of a process that has ended already there is nothing left to kill, and nothing to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Checks the exit code, and that the process has said nothing that a user should not have to read. Gives back
    /// what it has logged.
    pub(crate) fn expect_code(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for rude in [
            "panicked",
            "RUST_BACKTRACE",
            "stack backtrace",
            "Error {",
            "Some(",
            "Err(",
        ] {
            assert!(!self.stderr.contains(rude), "{rude:?} in:\n{}", self.stderr);
        }
        &self.stderr
    }
}

/// Sends a process the signal of this name.
pub(crate) fn signal(id: u32, name: &str) {
    // The shell's own `kill`: the program of that name is not on every machine.
    let command = format!("kill -{name} {id}");
    let status = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(status.success(), "{command}: {status}");
}

/// The lines of `stream`, read on a thread of their own that ends with the stream or with the test.
fn lines_of(stream: impl Read + Send + 'static, lines_max: usize) -> Receiver<String> {
    let (sender, lines) = sync_channel(lines_max);
    let read = move || {
        for line in BufReader::new(stream).lines() {
            if !line.is_ok_and(|line| sender.send(line).is_ok()) {
                return;
            }
        }
    };
    thread::Builder::new().spawn(read).unwrap();
    lines
}
