//! Snapshots: what a checkpoint is made of, how it is written and read back, and how long its parts are kept.
//!
//! # From a barrier to a commit
//!
//! A barrier seals the state of a subtask. Its [`SnapshotWriter`] uploads what was sealed, keeps account in one
//! [`StateChain`] for each state, and yields a [`SubtaskSnapshot`]. When those of all subtasks are in, they are put
//! into a [`Manifest`], and [`CheckpointStore::commit`] creates the manifest's file: the checkpoint is complete.
//! [`Retention`] then says what is superseded.
//!
//! At the next start [`CheckpointStore::load_newest_valid`] reads the newest checkpoint of which every byte is right,
//! [`LoadedCheckpoint::restore_plan`] says what each subtask is given back of it, and
//! [`CheckpointStore::sweep_orphans`] deletes what a crash left behind.
//!
//! # What a crash can do
//!
//! A process can be killed, and a machine can lose its power, between any two steps. Then of a folder the names that were
//! not synced, and of a file the bytes, can be there or not, each for itself. Nothing is lost all the same, because
//!
//! - an object is synced before its subtask acknowledges, and a file whose sync fails is deleted and written anew;
//! - a commit syncs the folder of the objects, then the manifest under a name that nobody reads, and only then gives it
//!   its own name; it is over when that is synced, too;
//! - a start syncs the name of the checkpoint that it goes on from, since the process before may not have come to it;
//! - a removal, and a sweep, sync that manifests are gone before they delete the first object.
//!
//! And nothing is left behind for good: what a removal could not delete is tried again with the next one, and what a
//! process did not come to is swept up by the next start. `crash_tests` ends random lives of a job before each of their
//! steps, and lets each step fail.
//!
//! In a bucket there is no name to be synced: an object is there when the store has taken it, and a manifest is created, in
//! one step, if there is none. Of an id that is given up it can hold a *tombstone*, which says that there never will be.
//!
//! # Format, version 1
//!
//! ```text
//! <root>/<job>/chk-<id>/manifest.json
//! <root>/<job>/chk-<id>/<operator>-<subtask>.state
//! <root>/<job>/chk-<id>/<operator>-<subtask>.inflight
//! <root>/<job>/chk-<id>/manifest.json.<generation>.pending     what a crash in a commit leaves; it means nothing
//! <root>/<job>/chk-<id>/savepoint.json            where a savepoint with this id is being written
//! <root>/<job>/shared/<checkpoint>-<operator>-<subtask>-<nonce>-<n>.delta
//! <root>/<job>/shared/<checkpoint>-<operator>-<subtask>-<nonce>-<n>.base
//! ```
//!
//! **Objects** are bare bytes: sections, one after the other, without padding, header or trailer. Where a section
//! lies, how long it is and what its checksum is stands in the manifests that refer to it. A `.delta` holds one
//! section for each delta, of any state of the subtask, that became durable with the checkpoint in its name; a `.base`
//! holds the base of one state, and has 0 for a checkpoint when it was stored while it was copied: before it was known which
//! would be the first to refer to it. A `.state` holds one section for each operator state of the subtask, and goes with the
//! checkpoint's folder: it is always whole, so no other checkpoint needs it. An `.inflight`, of an unaligned checkpoint, goes
//! with it likewise, and holds one section for each upstream subtask from which something was in flight. What is inside a section is described in
//! [`crate::state`] and [`crate::state::operator_state`],
//! and for what was in flight below. A name is never used twice; `<operator>` is the id of the first
//! operator of the subtask's chain, and when a file name cannot hold it, what it can hold and the checksum of the whole
//! id.
//!
//! **A savepoint** is a folder of its own, with a manifest of the kind `savepoint` and all objects that it refers to beside
//! it: `<directory>/savepoint-<job>-<id>/`. Objects keep their file names and hold only the sections that are needed, and
//! the manifest names them relative to the folder, so it can be moved, and copied to another machine.
//!
//! **The manifest** is JSON, encoded in UTF-8:
//!
//! ```text
//! { "checksum": "xxh3:<16 hexadecimal digits>", "manifest": { ... } }
//! ```
//!
//! `checksum` is the XXH3-64, with seed 0, of the exact text of the inner document: from its opening brace to its closing
//! brace, white space included. The inner document is a [`Manifest`]; its first field is `format_version`, in this and in
//! every later version. A reader refuses a version that it does not know, and a `state_encoding` that is not its own.
//! An example of every version is kept, and read and written again byte for byte by a test: a manifest in
//! `src/snapshot/fixtures`, a whole checkpoint with its objects in `tests/data`.
//!
//! | field | what it says |
//! |---|---|
//! | `format_version` | 1 |
//! | `floodmark_version` | the version of the writer; not interpreted |
//! | `state_encoding` | the layout of archived values: [`STATE_ENCODING`] |
//! | `job`, `checkpoint`, `kind` | whose snapshot it is; job and id must agree with the folder's |
//! | `triggered_unix_millis`, `completed_unix_millis` | milliseconds since 1970-01-01T00:00:00Z |
//! | `max_parallelism` | the number of key groups; a restore must use the same |
//! | `finished` | whether all operators had worked off all input |
//! | `uploaded_bytes` | the bytes of state that this checkpoint added to the store |
//! | `started_from` | of a job that was started from a snapshot: which; left out otherwise |
//! | `graph` | the operators: `id`, `type`, `inputs`, `parallelism` |
//! | `operators` | for each operator id `subtasks`: `index`, `finished`, `items`, `operator_state`, `in_flight`, `keyed` |
//! | `operator_state` | for each state `name`, `descriptor`, `piece`; left out when there is none |
//! | `in_flight` | for each link that held something `input`, `edge`, `upstream`, `rows`, `schema`, `piece`; left out when there is none |
//! | `keyed` | for each state `name`, `descriptor`, `parts` |
//! | `descriptor` | `kind`, `version`, `key_schema`, `map_key_schema` (of a map), `value_schema`, `record_format` |
//! | `parts` | `key_groups` (`end` excluded), `base` (a piece or null), `deltas` (pieces, oldest first) |
//! | a piece | `object`, `offset`, `length`, `checksum` of a section |
//!
//! A subtask that is `finished` had worked off all its input. One that holds nothing besides, in an operator of which all
//! subtasks are so, has finished for good: its output was committed before, and a restore does not run it again.
//!
//! Parts are applied in their order, of each part the base and then the deltas: a record replaces an earlier one of the
//! same key. Of a part only the records count whose key group is in its `key_groups`.
//!
//! # What was in flight
//!
//! An unaligned checkpoint holds what its barriers have overtaken, batches and the watermarks among them: of each subtask
//! what lay before the barrier on its inputs and was not worked off when it took its snapshot, each batch once. `input` is
//! the operator that had sent it, `upstream` the subtask of that, and `edge` tells edges from the same operator apart.
//!
//! A restore works it off before anything new. At the same parallelism each link begins with what was in flight on it.
//! At another one each subtask takes, of all, the records whose keys it now owns; watermarks are left out then, since the
//! links they spoke for are no more, and follow anew from the sources.
//!
//! Numbers of a section are little-endian. It begins with 16 bytes: `FMif`, the version of this format (1) in 2, zeros in
//! 2, the number of elements in 8. Each element begins with one byte. 0 is a batch: its length in 8 bytes, then what the
//! codec of the exchange has made of it. 1 is a watermark: its event time in 8 bytes, signed. `schema` names the codec: of
//! columns it makes a stream of Arrow's IPC format with this one batch; of typed rows, for each row, the length of its
//! archive in 4 bytes, and the archive.

mod base_stream;
mod bucket;
#[cfg(test)]
mod bucket_tests;
mod chain;
mod copy;
#[cfg(test)]
mod crash_tests;
mod damage;
mod deferred;
mod discard;
#[cfg(test)]
mod fencing_tests;
mod history_file;
mod in_flight;
#[cfg(test)]
mod lost_job_tests;
mod manifest;
mod manifest_file;
mod objects;
pub mod offline;
mod operator_mismatch;
mod ownership;
mod recovery;
mod restore_plan;
mod retention;
mod savepoint;
mod savepoint_directory;
mod snapshot_at;
mod store;
mod summary;
mod sweep;
mod take_over;
#[cfg(test)]
mod test_support;
mod writer;

pub use base_stream::BaseUploads;
pub use chain::{StateChain, Upload, UploadId};
pub use damage::Damage;
pub use deferred::Deferral;
pub use in_flight::{
    BatchCodec, ColumnCodec, InFlightEntry, RestoredInFlight, SealedInFlight, decode_section,
    encode_section,
};
pub use manifest::{
    FORMAT_VERSION, GraphOperator, KeyedEntry, Manifest, OperatorEntry, OperatorStateEntry, Part,
    Piece, STATE_ENCODING, SnapshotKind, SubtaskEntry, collect_operators,
};
pub use operator_mismatch::OperatorMismatch;
pub use recovery::{DamagedCheckpoint, LoadedCheckpoint, Recovery};
pub use restore_plan::RestorePlan;
pub use retention::{FoundCheckpoint, Removal, Retention};
pub use savepoint::WrittenSavepoint;
pub use savepoint_directory::{ListedSavepoint, list_savepoints};
pub use snapshot_at::SnapshotAt;
pub use store::CheckpointStore;
pub use summary::{CheckpointSummary, ListedCheckpoint};
pub use sweep::Sweep;
pub use take_over::{ClaimMode, StartFrom, StartedFrom};
pub use writer::{SealedOperator, SnapshotWriter, SubtaskSnapshot};
