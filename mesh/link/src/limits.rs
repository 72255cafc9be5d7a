//! What a meet may cost, and what it counted.

/// The limits of one [`Meet`](crate::Meet). Whatever the peer sends, these hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeetLimits {
    /// Largest item that is taken or given; announced in the Hello.
    pub item_bytes_max: u64,
    /// Most items of the peer that are remembered at a time, most of our own that are offered at a time, and
    /// most acknowledgements that wait to be sent.
    pub offers_max: usize,
    /// Most items that are asked for and have not arrived; further requests wait. In a carried meet: most items
    /// that are incomplete at a time.
    pub inflight_items_max: usize,
    /// Memory for items that are incomplete, or complete and not yet polled, by their announced lengths.
    pub partial_bytes_max: u64,
    /// Most refusals that wait to be sent; further ones are dropped and counted.
    pub refusals_max: usize,
    /// Most bytes of Reconcile, Routes and Heights frames whose events wait to be polled, and most heights that wait to
    /// be sent, at 40 bytes each. Reached as `events_max` is.
    pub control_bytes_max: usize,
    /// Most events that wait to be polled. Reached only by a driver that does not drain events after each call
    /// with at most 64 KiB of bytes.
    pub events_max: usize,
}

impl Default for MeetLimits {
    fn default() -> Self {
        let item_bytes_max = 8 * 1024 * 1024;
        Self {
            item_bytes_max,
            offers_max: 200_000,
            inflight_items_max: 1_024,
            // One item of each topic under way, and two that were completed by the same read.
            partial_bytes_max: 6 * item_bytes_max,
            refusals_max: 10_000,
            control_bytes_max: 512 * 1024,
            events_max: 8_192,
        }
    }
}

/// What happened in a meet, in numbers. Counts of what was dropped never stop a meet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole frames that arrived, the skipped ones included.
    pub frames: u64,
    /// Frames of a type that only a later version knows.
    pub unknown_frames: u64,
    /// Frames about a topic that only a later version knows.
    pub unknown_topics: u64,
    /// Ids that the peer announced beyond [`MeetLimits::offers_max`].
    pub offers_dropped: u64,
    /// Own offers beyond [`MeetLimits::offers_max`] or [`MeetLimits::item_bytes_max`].
    pub own_offers_dropped: u64,
    /// Chunks that were not asked for, or came after their item had been refused.
    pub chunks_ignored: u64,
    /// Ids in frames that mean nothing here: acknowledged or refused though never offered, or announced or asked
    /// for in a carried meet.
    pub ids_ignored: u64,
    /// Frames that mean nothing in a parcel: reconciling, room and heights ask for an answer.
    pub frames_ignored: u64,
    /// Heights that found no room in their queue; they are told at the next meet.
    pub heights_dropped: u64,
    /// Acknowledgements and refusals that found no room in their queue. The peer will offer again.
    pub answers_dropped: u64,
    /// Items refused because they exceed [`MeetLimits::item_bytes_max`].
    pub too_large: u64,
    /// Items refused because [`MeetLimits::partial_bytes_max`] or [`MeetLimits::inflight_items_max`] was reached.
    pub full: u64,
}
