use super::*;
use crate::connectors::kafka::source::item::{DiscoveryItem, SourceItem};
use crate::connectors::kafka::source::model_broker::partition;
use crate::operator::RestoredOperatorState;

fn topics(names: &[&str]) -> TopicSelection {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    TopicSelection::new(&names, None).unwrap()
}

fn pattern(pattern: &str) -> TopicSelection {
    TopicSelection::new(&[], Some(pattern)).unwrap()
}

/// A listing of topics with so many partitions each.
fn listing(topics: &[(&str, i32)]) -> Listing {
    let topic = |(name, partitions): &(&str, i32)| {
        let partitions = TopicListing::Partitions((0..*partitions).collect());
        (name.to_string(), partitions)
    };
    topics.iter().map(topic).collect()
}

fn position(offset: i64) -> Position {
    Position {
        offset,
        end: None,
        watermark: None,
    }
}

/// What a checkpoint of one subtask holds.
fn restored(positions: &[(&str, i32, i64)], discovered: bool) -> RestoredSource {
    let positions = positions.iter().map(|(topic, number, offset)| {
        SourceItem::of_position(&partition(topic, *number), position(*offset))
    });
    let discovery = SourceItem::Discovery(DiscoveryItem {
        subtask: 0,
        parallelism: 1,
        discovered,
    });
    let items = positions.chain([discovery]);
    let items = items.map(|item| item.to_value().unwrap()).collect();
    let state = RestoredOperatorState {
        subtasks: vec![items],
    };
    RestoredSource::of_state(&state).unwrap()
}

fn found(assignment: &mut Assignment, listing: &Listing) -> Vec<(i32, Start)> {
    let discovery = assignment.discover(listing).unwrap();
    let found = discovery.found.into_iter();
    found
        .map(|(partition, start)| (partition.partition, start))
        .collect()
}

#[test]
fn partitions_that_are_found_later_start_at_their_first_record() {
    let mut assignment = Assignment::new(topics(&["in"]), 0, 1, None);
    let both = found(&mut assignment, &listing(&[("in", 2)]));
    assert_eq!(both, [(0, Start::Initial), (1, Start::Initial)]);
    assert_eq!(found(&mut assignment, &listing(&[("in", 2)])), []);
    let third = found(&mut assignment, &listing(&[("in", 3)]));
    assert_eq!(third, [(2, Start::Earliest)]);
}

#[test]
fn a_topic_that_cannot_be_listed_yet_is_not_taken_for_a_new_one() {
    let mut assignment = Assignment::new(topics(&["a", "b"]), 0, 1, None);
    let mut partly = listing(&[("a", 1)]);
    partly.insert("b".into(), TopicListing::Unavailable);
    assert_eq!(found(&mut assignment, &partly), [(0, Start::Initial)]);
    assert!(!assignment.is_discovered());
    let rest = found(&mut assignment, &listing(&[("a", 1), ("b", 1)]));
    assert_eq!(rest, [(0, Start::Initial)]);
    assert!(assignment.is_discovered());
    partly.insert("a".into(), TopicListing::Unavailable);
    assert_eq!(assignment.discover(&partly).unwrap(), Discovery::default());
}

#[test]
fn a_checkpoint_knows_what_is_new() {
    let known = [("in", 0, 5)];
    let all = listing(&[("in", 2)]);
    let mut assignment = Assignment::new(topics(&["in"]), 0, 1, Some(restored(&known, true)));
    let starts = found(&mut assignment, &all);
    assert_eq!(
        starts,
        [(0, Start::Restored(position(5))), (1, Start::Earliest)]
    );
    // The broker was away when that one was taken: partition 1 may be as old as the other.
    let mut assignment = Assignment::new(topics(&["in"]), 0, 1, Some(restored(&known, false)));
    let starts = found(&mut assignment, &all);
    assert_eq!(
        starts,
        [(0, Start::Restored(position(5))), (1, Start::Initial)]
    );
    // What is found from now on was not there then.
    let later = found(&mut assignment, &listing(&[("in", 3)]));
    assert_eq!(later, [(2, Start::Earliest)]);
}

#[test]
fn a_topic_that_is_missing_fails_a_list_and_not_a_pattern() {
    let missing = Listing::from([("in".to_owned(), TopicListing::Missing)]);
    let mut listed = Assignment::new(topics(&["in"]), 0, 1, None);
    let error = listed.discover(&missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error
            .to_string()
            .starts_with("topics: there is no topic \"in\""),
        "{error}"
    );
    let mut matched = Assignment::new(pattern("in.*"), 0, 1, None);
    assert_eq!(
        matched.discover(&Listing::new()).unwrap(),
        Discovery::default()
    );
}

#[test]
fn a_partition_that_is_gone_fails_a_list_and_is_given_up_by_a_pattern() {
    let check = |restored: Option<RestoredSource>| {
        let before = listing(&[("in", 2)]);
        let after = listing(&[("in", 1)]);
        let mut listed = Assignment::new(topics(&["in"]), 0, 1, restored.clone());
        let mut matched = Assignment::new(pattern("in"), 0, 1, restored.clone());
        if restored.is_none() {
            listed.discover(&before).unwrap();
            matched.discover(&before).unwrap();
        }
        let error = listed.discover(&after).unwrap_err();
        assert!(
            error.to_string().contains("in/1 was read before"),
            "{error}"
        );
        assert_eq!(matched.discover(&after).unwrap().gone, [partition("in", 1)]);
        // What comes back under the name has nothing to do with the one before.
        let again = found(&mut matched, &before);
        assert_eq!(again, [(1, Start::Earliest)]);
    };
    check(None);
    check(Some(restored(&[("in", 0, 5), ("in", 1, 6)], true)));
}

#[test]
fn a_topic_that_the_job_no_longer_names_is_dropped_and_told() {
    let checkpoint = restored(&[("a", 0, 5), ("b", 0, 6)], true);
    let mut assignment = Assignment::new(topics(&["b"]), 0, 1, Some(checkpoint));
    let dropped: Vec<_> = assignment.dropped_topics().into_iter().collect();
    assert_eq!(dropped, [Arc::from("a")]);
    assert_eq!(assignment.restored_positions().len(), 1);
    let starts = found(&mut assignment, &listing(&[("b", 1)]));
    assert_eq!(starts, [(0, Start::Restored(position(6)))]);
}

#[test]
fn every_partition_has_one_owner_at_any_parallelism() {
    let all = listing(&[("a", 7), ("b", 1), ("c", 12)]);
    for parallelism in 1..6 {
        let mut owned = Vec::new();
        for subtask in 0..parallelism {
            let selection = pattern(".*");
            let mut assignment = Assignment::new(selection, subtask, parallelism, None);
            owned.extend(assignment.discover(&all).unwrap().found);
        }
        let partitions: BTreeSet<_> = owned.iter().map(|(partition, _)| partition).collect();
        assert_eq!((owned.len(), partitions.len()), (20, 20), "{parallelism}");
    }
}
