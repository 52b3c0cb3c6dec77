//! Sections that are not what a barrier wrote. The checksum in the manifest finds these first; should it not, nothing
//! is misread.

use bytes::Bytes;

use super::support::{backends, restored};
use crate::error::ErrorKind;
use crate::state::{OperatorStateBackend, RestoredSections};

/// A list of texts of two subtasks.
fn stored() -> RestoredSections {
    let sealed: Vec<_> = backends(2, &[])
        .iter_mut()
        .enumerate()
        .map(|(subtask, backend)| {
            let list = backend.list_state::<String>("texts").unwrap();
            let text = format!("a text that is too long to lie inline: {subtask}");
            list.update(vec![text, "short".to_owned()]).unwrap();
            backend.seal().unwrap()
        })
        .collect();
    restored(&sealed).remove(0)
}

/// Registers the list after damage to the section of the second subtask.
fn read(damage: impl FnOnce(&mut Vec<u8>)) -> crate::error::Result<Vec<String>> {
    let mut state = stored();
    let mut section = state.sections[1].as_ref().unwrap().to_vec();
    damage(&mut section);
    state.sections[1] = Some(Bytes::from(section));
    let mut backend = OperatorStateBackend::new(0, 1, vec![state]);
    let list = backend.list_state::<String>("texts")?;
    Ok(list.get().to_vec())
}

fn check(damage: impl FnOnce(&mut Vec<u8>), expected: &str) {
    let error = read(damage).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{expected}");
    let whole = format!("operator state \"texts\": what subtask 1 wrote: {expected}");
    assert!(error.to_string().starts_with(&whole), "{error}");
}

#[test]
fn a_damaged_section_is_an_error_that_names_the_state_and_its_writer() {
    assert_eq!(read(|_| {}).unwrap().len(), 4);
    check(Vec::clear, "it is shorter than its header");
    check(|section| section[0] ^= 1, "it is not operator state");
    check(
        |section| section[4] = 2,
        "it is in version 2 of its format, and this version of floodmark reads 1",
    );
    check(|section| section[6] = 1, "it is not list state");
    check(|section| section[8] += 1, "it ends before its last value");
    check(|section| section[8] -= 1, "12 bytes follow the last value");
    check(|section| section.push(0), "1 bytes follow the last value");
    check(
        |section| section[16] += 1,
        "a value does not have the form of its type",
    );
}

#[test]
fn a_cut_at_any_place_is_noticed() {
    let length = stored().sections[1].as_ref().unwrap().len();
    for kept in 0..length {
        let error = read(|section| section.truncate(kept)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut to {kept} bytes");
    }
}

#[test]
fn a_flipped_bit_never_ends_the_process() {
    let length = stored().sections[1].as_ref().unwrap().len();
    for position in 0..length {
        for bit in 0..8 {
            // A changed letter is a text still: only the checksum can tell.
            if let Err(error) = read(|section| section[position] ^= 1 << bit) {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Corrupt,
                    "byte {position}, bit {bit}"
                );
            }
        }
    }
}
