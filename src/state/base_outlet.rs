//! Where a large base goes while it is copied, so that little of it is in memory at any time.

use bytes::Bytes;

/// Takes the bases of a subtask as they are copied.
pub trait BaseOutlet: Send + Sync {
    /// A base of about so many bytes is to be copied.
    fn begin(&self, bytes: u64) -> BaseWay;
}

/// How a base is to be copied.
pub enum BaseWay {
    /// Into memory: it is small.
    Memory,
    /// Out, as it is copied.
    Stream(Box<dyn BaseStream>),
    /// Not now: another base of the subtask is on its way out.
    Later,
}

/// One base on its way out. What was stored of it is taken back when it is dropped.
pub trait BaseStream {
    /// Whether more of it is to be copied now. A slice that was begun is taken whole, however large it gets.
    fn has_room(&self) -> bool;

    /// The next bytes.
    fn push(&mut self, chunk: Bytes);

    /// There are no more.
    fn end(&mut self);

    /// How far it has come.
    fn progress(&self) -> StreamProgress;

    /// The number by which the receiver knows it. It belongs to whoever was given the number from then on, and is not
    /// taken back any more.
    fn hand_over(self: Box<Self>) -> usize;
}

/// How far a base has come on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamProgress {
    /// Not all of it is stored.
    UnderWay,
    /// All of it is durable.
    Stored,
    /// It could not be stored.
    Failed,
}
