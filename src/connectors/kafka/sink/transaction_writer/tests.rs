use super::super::pending_transaction::tests::pending;
use super::*;

fn writer() -> TransactionWriter {
    TransactionWriter::new(TransactionalId {
        base: "base".to_owned(),
        subtask: 0,
    })
}

/// Takes steps without a mishap until one has this name, and gives that one.
fn run_to(writer: &mut TransactionWriter, name: &str) -> Step {
    loop {
        let step = writer.next_step();
        if name_of(&step) == name {
            return step;
        }
        assert_ne!(step, Step::Rest, "there was no {name}");
        let outcome = match &step {
            Step::ReadMarker(_) => Outcome::Marker(Marker::default()),
            _ => Outcome::Done,
        };
        writer.done(&step, outcome).unwrap();
    }
}

/// The names of the steps that follow when all goes well.
fn steps(writer: &mut TransactionWriter) -> Vec<&'static str> {
    let mut names = Vec::new();
    loop {
        let step = writer.next_step();
        if step == Step::Rest {
            return names;
        }
        names.push(name_of(&step));
        let outcome = match &step {
            Step::ReadMarker(_) => Outcome::Marker(Marker::default()),
            _ => Outcome::Done,
        };
        writer.done(&step, outcome).unwrap();
    }
}

fn name_of(step: &Step) -> &'static str {
    match step {
        Step::Wait(_) => "wait",
        Step::Discard => "discard",
        Step::Fence => "fence",
        Step::ReadMarker(_) => "read",
        Step::Begin => "begin",
        Step::Write(_) => "write",
        Step::Flush => "flush",
        Step::Mark(..) => "mark",
        Step::Commit => "commit",
        Step::Abort => "abort",
        Step::Rest => "rest",
    }
}

const TRANSACTION: [&str; 5] = ["begin", "write", "flush", "mark", "commit"];

#[test]
fn the_marker_is_read_after_the_id_is_taken_over_and_once() {
    let mut writer = writer();
    writer.submit(Arc::new(pending(0, 1, 1, &["a"])));
    writer.submit(Arc::new(pending(0, 1, 2, &["b"])));
    let expected = [&["fence", "read"][..], &TRANSACTION, &TRANSACTION].concat();
    assert_eq!(steps(&mut writer), expected);
    let settled = writer.take_settled();
    assert!(settled.iter().all(|(_, how)| *how == Settlement::Written));
    assert_eq!(settled.len(), 2);
    // Only the next transaction, with the marker of the last one.
    writer.submit(Arc::new(pending(0, 1, 3, &["c"])));
    assert_eq!(steps(&mut writer), TRANSACTION);
}

#[test]
fn an_id_is_taken_over_even_if_there_is_nothing_to_write() {
    assert_eq!(steps(&mut writer()), ["fence"]);
}

#[test]
fn what_a_marker_covers_is_not_written_again() {
    let mut writer = writer();
    let [first, second] = [1, 2].map(|checkpoint| Arc::new(pending(0, 1, checkpoint, &["a"])));
    writer.submit(Arc::clone(&first));
    writer.submit(second);
    let step = run_to(&mut writer, "read");
    let marker = Marker::default().with(&first);
    writer.done(&step, Outcome::Marker(marker)).unwrap();
    assert_eq!(steps(&mut writer), TRANSACTION);
    let settled: Vec<_> = writer.take_settled().iter().map(|(_, how)| *how).collect();
    assert_eq!(settled, [Settlement::Found, Settlement::Written]);
}

/// What follows when the step of this name fails.
fn after(name: &str, failure: Failure) -> Vec<&'static str> {
    let mut writer = writer();
    writer.submit(Arc::new(pending(0, 1, 1, &["a"])));
    let step = run_to(&mut writer, name);
    writer.done(&step, Outcome::Failed(failure)).unwrap();
    let steps = steps(&mut writer);
    assert_eq!(steps[0], "wait", "{name}");
    steps[1..].to_vec()
}

#[test]
fn a_step_that_fails_in_passing_is_tried_again() {
    for (name, left) in [("flush", 3), ("mark", 2), ("commit", 1)] {
        let steps = after(name, Failure::Passing);
        assert_eq!(steps, TRANSACTION[TRANSACTION.len() - left..], "{name}");
    }
    assert_eq!(after("fence", Failure::Passing)[0], "fence");
    assert_eq!(after("read", Failure::Passing)[0], "read");
    assert_eq!(after("begin", Failure::Passing), TRANSACTION);
    // It may have come half of its way.
    let again = [&["abort"][..], &TRANSACTION].concat();
    assert_eq!(after("write", Failure::Passing), again);
}

#[test]
fn a_transaction_that_must_be_aborted_is_written_again() {
    let again = [&["abort"][..], &TRANSACTION].concat();
    for name in ["write", "flush", "mark", "commit"] {
        assert_eq!(after(name, Failure::Aborted), again, "{name}");
    }
}

#[test]
fn when_a_producer_breaks_the_next_one_asks_the_marker_before_it_writes() {
    let anew = [&["discard", "fence", "read"][..], &TRANSACTION].concat();
    for name in ["fence", "read", "begin", "write", "flush", "mark", "commit"] {
        assert_eq!(after(name, Failure::Broken), anew, "{name}");
    }
    // Nothing but a new producer helps one that cannot even begin or abort.
    assert_eq!(after("begin", Failure::Aborted), anew);
    let mut writer = writer();
    writer.submit(Arc::new(pending(0, 1, 1, &["a"])));
    let step = run_to(&mut writer, "flush");
    writer
        .done(&step, Outcome::Failed(Failure::Aborted))
        .unwrap();
    let step = run_to(&mut writer, "abort");
    writer
        .done(&step, Outcome::Failed(Failure::Aborted))
        .unwrap();
    assert_eq!(steps(&mut writer)[1..], anew);
}

#[test]
fn a_fenced_producer_is_the_end() {
    for name in ["fence", "write", "flush", "mark", "commit"] {
        let mut writer = writer();
        writer.submit(Arc::new(pending(0, 1, 1, &["a"])));
        let step = run_to(&mut writer, name);
        let error = writer.done(&step, Outcome::Failed(Failure::Fenced));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{name}");
        assert!(error.to_string().contains("base.0"), "{error}");
    }
}

#[test]
fn a_record_that_is_refused_is_an_error_once_the_transaction_is_aborted() {
    for abort in [Outcome::Done, Outcome::Failed(Failure::Broken)] {
        let mut writer = writer();
        writer.submit(Arc::new(pending(0, 1, 1, &["a"])));
        let step = run_to(&mut writer, "flush");
        let refusal = Error::new(ErrorKind::Data, "too large");
        writer
            .done(&step, Outcome::Failed(Failure::Refused(refusal)))
            .unwrap();
        let step = writer.next_step();
        assert_eq!(step, Step::Abort);
        let error = writer.done(&step, abort).unwrap_err();
        assert_eq!(error.to_string(), "too large");
    }
}
