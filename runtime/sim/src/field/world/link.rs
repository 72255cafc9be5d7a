//! A link between two nodes while it is up: how long bytes take, and what the way does to them.

use cairn_engine::LinkId;

use crate::Dice;
use crate::field::contact::LinkModel;
use crate::field::faults::FieldFaults;

/// What a link repeats if it was lost: this much at a time.
const PACKET_BYTES: usize = 1_200;
/// A lost packet is repeated so often at most; then it gets through all the same.
const TRIES_MAX: u64 = 50;

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) link: LinkId,
    /// Until when something from this end is on its way out.
    pub(super) busy_until_ms: u64,
    /// Whether it has more to say then.
    pub(super) waits: bool,
    /// When the last of it arrives: a stream keeps its order.
    pub(super) arrives_ms: u64,
}

/// A contact while both ends are up.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// The contact that it belongs to: nodes and kind of link.
    pub(super) contact: (usize, usize, usize),
    pub(super) ends: [End; 2],
    pub(super) model: LinkModel,
    /// The end that is not heard at all.
    pub(super) mute: Option<usize>,
}

impl Connection {
    pub(super) const fn end(&self, side: usize) -> &End {
        let [first, second] = &self.ends;
        if side == 0 { first } else { second }
    }

    pub(super) const fn end_mut(&mut self, side: usize) -> &mut End {
        let [first, second] = &mut self.ends;
        if side == 0 { first } else { second }
    }

    /// Bytes that are put on the link at a time: a twentieth of a second, so that what is urgent does not wait.
    pub(super) fn burst_bytes(&self) -> usize {
        usize::try_from(self.model.rate_bytes_s / 20).unwrap_or(usize::MAX).clamp(1_024, 65_536)
    }
}

/// What became of some bytes on their way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// How long the link is busy with them, in milliseconds.
    pub(super) busy_ms: u64,
    /// How much later than that they arrive.
    pub(super) late_ms: u64,
    /// Bytes on the air, repetitions included.
    pub(super) air_bytes: u64,
    /// They arrive a second time.
    pub(super) twice: bool,
    /// They overtake what was sent before.
    pub(super) overtakes: bool,
}

/// Sends bytes over a link, and perhaps damages them.
pub(super) fn pass(model: &LinkModel, faults: &FieldFaults, bytes: &mut [u8], dice: &mut Dice) -> Passage {
    let mut air_bytes = 0_u64;
    let mut tries_most = 1;
    let loss = u64::from(model.loss_percent);
    for packet in bytes.chunks(PACKET_BYTES) {
        let mut tries = 1;
        while loss > 0 && tries < TRIES_MAX && dice.percent(loss) {
            tries += 1;
        }
        tries_most = tries_most.max(tries);
        air_bytes += tries * u64::try_from(packet.len()).unwrap_or(0);
    }
    let unlucky = |rate: u64, dice: &mut Dice| rate > 0 && dice.pick(0..100_000) < rate;
    if unlucky(faults.corrupt_per_100k, dice) {
        let (at, bit) = (dice.index(bytes.len()), dice.pick(0..8));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
    let rate = model.rate_bytes_s.max(1);
    Passage {
        busy_ms: (air_bytes * 1_000).div_ceil(rate),
        // Whoever repeats waits for the news that something was lost.
        late_ms: model.latency_ms + (tries_most - 1) * 2 * model.latency_ms,
        air_bytes,
        twice: unlucky(faults.twice_per_100k, dice),
        overtakes: unlucky(faults.overtake_per_100k, dice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time_and_losses_cost_more() {
        let none = FieldFaults::none();
        let mut bytes = vec![7; 120_000];
        let clean =
            pass(&LinkModel { loss_percent: 0, ..LinkModel::LOSSY }, &none, &mut bytes, &mut Dice::new(1));
        assert_eq!((clean.busy_ms, clean.late_ms, clean.air_bytes), (1_200, 50, 120_000));
        let lossy = pass(&LinkModel::LOSSY, &none, &mut bytes, &mut Dice::new(1));
        // 30 of a hundred are lost, so each packet is sent 1/0.7 times.
        assert!((150_000..200_000).contains(&lossy.air_bytes) && lossy.late_ms > 100, "{lossy:?}");
        assert_eq!(bytes, vec![7; 120_000]);
    }

    #[test]
    fn damage_is_done_where_it_is_asked_for() {
        let faults =
            FieldFaults { corrupt_per_100k: 100_000, twice_per_100k: 100_000, ..FieldFaults::none() };
        let mut bytes = vec![0; 10];
        let passage = pass(&LinkModel::WIFI, &faults, &mut bytes, &mut Dice::new(1));
        assert!(passage.twice && !passage.overtakes);
        assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        pass(&LinkModel::WIFI, &faults, &mut [], &mut Dice::new(1));
    }
}
