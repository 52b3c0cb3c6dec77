//! A process of the binary under test.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How long a test waits for the process's next word. It is never reached unless the process hangs.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// How many lines can wait for the test; beyond that the process has to wait for it.
const LINES_MAX: usize = 64;

/// A running `floodmark`. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<Line>,
    /// What it has printed so far.
    stdout: String,
    /// What it has logged so far.
    stderr: String,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; nothing when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// One line of what a process says.
enum Line {
    Stdout(String),
    Stderr(String),
}

impl Process {
    /// Starts `floodmark` in `folder`.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_floodmark"))
            .args(arguments)
            .current_dir(folder)
            .env_remove("FLOODMARK_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = sync_channel(LINES_MAX);
        forward(child.stdout.take().unwrap(), sender.clone(), Line::Stdout);
        forward(child.stderr.take().unwrap(), sender, Line::Stderr);
        Self {
            child,
            lines,
            stdout: String::new(),
            stderr: String::new(),
        }
    }

    /// Runs `floodmark` in `folder` until it ends.
    pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
        Self::start(folder, arguments).wait()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it prints another line on standard output. Gives the line.
    pub(crate) fn wait_for_stdout(&mut self) -> String {
        loop {
            match self.next_line() {
                Some(Line::Stdout(line)) => return line,
                Some(Line::Stderr(_)) => {}
                None => panic!("it ended without a line:\n{}", self.stderr),
            }
        }
    }

    /// Waits until it logs a line that contains `text`. Gives the line.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> String {
        loop {
            match self.next_line() {
                Some(Line::Stderr(line)) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!("it ended without saying {text:?}:\n{}", self.stderr),
            }
        }
    }

    /// Sends it the signal of this name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own `kill`: the program of that name is not on every machine.
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success(), "{command}: {status}");
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        while self.next_line().is_some() {}
        Ended {
            code: self.child.wait().unwrap().code(),
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
        }
    }

    /// Kills it, so that it has no chance to do anything about it.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.wait()
    }

    /// The next line, or nothing when both streams are closed.
    fn next_line(&mut self) -> Option<Line> {
        let line = match self.lines.recv_timeout(SILENCE_MAX) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => panic!("it hangs after:\n{}", self.stderr),
        };
        let (text, line_text) = match &line {
            Line::Stdout(line) => (&mut self.stdout, line),
            Line::Stderr(line) => (&mut self.stderr, line),
        };
        text.push_str(line_text);
        text.push('\n');
        Some(line)
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

/// Sends every line of `stream` to the test, on a thread of its own that ends with the stream.
fn forward(
    stream: impl Read + Send + 'static,
    lines: SyncSender<Line>,
    wrap: impl Fn(String) -> Line + Send + 'static,
) {
    let read = move || {
        for line in BufReader::new(stream).lines() {
            // A test that has ended listens no more.
            if line.is_ok_and(|line| lines.send(wrap(line)).is_ok()) {
                continue;
            }
            return;
        }
    };
    thread::Builder::new().spawn(read).unwrap();
}
