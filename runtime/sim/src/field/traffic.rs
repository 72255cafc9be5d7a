//! Who sends what to whom, and when.

use cairn_bundle::Class;

use crate::Dice;

/// All classes, the most urgent first.
pub const CLASSES: [Class; 3] = [Class::Alert, Class::Normal, Class::Bulk];

/// The word for a class.
#[must_use]
pub const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Alert => "alert",
        Class::Normal => "normal",
        Class::Bulk => "bulk",
    }
}

/// Bytes of a payload, from and to.
const fn sizes(class: Class) -> core::ops::Range<u64> {
    match class {
        Class::Alert => 60..300,
        Class::Normal => 200..4_000,
        Class::Bulk => 20_000..120_000,
    }
}

/// One message that somebody wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// When it is sent, in milliseconds from the start of the run.
    pub at_ms: u64,
    /// The source.
    pub from: usize,
    /// The destination.
    pub to: usize,
    /// Bytes of its payload.
    pub bytes: u64,
    /// How urgent it is.
    pub class: Class,
    /// How long it is of use, in milliseconds.
    pub lifetime_ms: u64,
}

/// A source of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// How many messages.
    pub messages: usize,
    /// The first is not before this moment, in milliseconds.
    pub from_ms: u64,
    /// The last is before this moment.
    pub until_ms: u64,
    /// Messages of a hundred that are alerts; and so many that are bulk. The others are normal.
    pub alert_percent: u64,
    /// As above.
    pub bulk_percent: u64,
    /// How long each is of use, in milliseconds; an alert a quarter of it.
    pub lifetime_ms: u64,
    /// Messages of a hundred that go to, or come from, one of the [hotspots](Self::hotspots).
    pub hotspot_percent: u64,
    /// Nodes to which many write: a gateway, a hospital.
    pub hotspots: Vec<usize>,
    /// Part of the messages, of a hundred, that are sent within one hundredth of the time: everybody writes at once.
    pub burst_percent: u64,
}

impl Traffic {
    /// The messages in order of time, between `people`: nodes that have somebody in front of them.
    #[must_use]
    pub fn draw(&self, people: &[usize], dice: &mut Dice) -> Vec<Message> {
        let span_ms = self.until_ms.saturating_sub(self.from_ms);
        let burst_ms = self.from_ms + dice.pick(0..span_ms.max(1));
        let mut messages = Vec::with_capacity(self.messages);
        while messages.len() < self.messages {
            let at_ms = if dice.percent(self.burst_percent) {
                (burst_ms + dice.pick(0..span_ms / 100 + 1)).min(self.until_ms)
            } else {
                self.from_ms + dice.pick(0..span_ms)
            };
            let Some((from, to)) = self.pair(people, dice) else { break };
            let kind = dice.pick(0..100);
            let class = if kind < self.alert_percent {
                Class::Alert
            } else if kind < self.alert_percent + self.bulk_percent {
                Class::Bulk
            } else {
                Class::Normal
            };
            let lifetime_ms = if class == Class::Alert { self.lifetime_ms / 4 } else { self.lifetime_ms };
            messages.push(Message { at_ms, from, to, bytes: dice.pick(sizes(class)), class, lifetime_ms });
        }
        messages.sort_by_key(|message| message.at_ms);
        messages
    }

    /// Two different nodes; `None` if there are no two.
    fn pair(&self, people: &[usize], dice: &mut Dice) -> Option<(usize, usize)> {
        let from = *people.get(dice.index(people.len()))?;
        let hotspot = self.hotspots.get(dice.index(self.hotspots.len())).copied();
        let to = match hotspot {
            Some(hotspot) if hotspot != from && dice.percent(self.hotspot_percent) => {
                return Some(if dice.percent(70) { (from, hotspot) } else { (hotspot, from) });
            }
            _ => *people.get(dice.index(people.len()))?,
        };
        if to != from {
            return Some((from, to));
        }
        // Somebody else, so that one roll is enough.
        people.iter().rev().copied().find(|person| *person != from).map(|to| (from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic() -> Traffic {
        Traffic {
            messages: 2_000,
            from_ms: 1_000,
            until_ms: 101_000,
            alert_percent: 10,
            bulk_percent: 5,
            lifetime_ms: 40_000,
            hotspot_percent: 30,
            hotspots: vec![3],
            burst_percent: 50,
        }
    }

    #[test]
    fn messages_are_what_the_model_says() {
        let people: Vec<usize> = (0..20).collect();
        let messages = traffic().draw(&people, &mut Dice::new(6));
        assert_eq!(messages, traffic().draw(&people, &mut Dice::new(6)));
        assert_eq!(messages.len(), 2_000);
        assert!(messages.is_sorted_by_key(|message| message.at_ms));
        assert!(messages.iter().all(|m| m.from != m.to && (1_000..=101_000).contains(&m.at_ms)));
        let share = |is: fn(&Message) -> bool| messages.iter().filter(|m| is(m)).count();
        assert!((120..280).contains(&share(|m| m.class == Class::Alert)));
        assert!((50..150).contains(&share(|m| m.class == Class::Bulk && m.bytes >= 20_000)));
        assert!((500..800).contains(&share(|m| m.to == 3 || m.from == 3)));
        assert!(share(|m| m.class == Class::Alert) == share(|m| m.lifetime_ms == 10_000));
        // Half of them in a hundredth of the time.
        let busiest = messages.windows(900).map(|w| w[899].at_ms - w[0].at_ms).min();
        assert!(busiest.is_some_and(|ms| ms <= 1_500), "{busiest:?}");
    }

    #[test]
    fn somebody_alone_writes_to_nobody() {
        assert_eq!(traffic().draw(&[3], &mut Dice::new(1)), []);
        assert_eq!(traffic().draw(&[], &mut Dice::new(1)), []);
        let two = traffic().draw(&[4, 9], &mut Dice::new(1));
        assert_eq!(two.len(), 2_000);
    }
}
