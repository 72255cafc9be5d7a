//! Small alerts go to everybody.

use cairn_bundle::Class;

use crate::routing::question::Question;

/// Whether a bundle is given to whoever lacks it, whatever its tokens.
///
/// Bounded by size, because it costs a transmission for each node of the network.
pub(crate) const fn is_epidemic(question: &Question, alert_bytes_max: u64) -> bool {
    matches!(question.class, Class::Alert) && question.bytes <= alert_bytes_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_alerts_are_given_to_everybody() {
        let question = |class, bytes| Question {
            destination: None,
            source: None,
            class,
            bytes,
            remaining_ms: 1,
            held_ms: 0,
            copies: 0,
            crowd: 0,
        };
        assert!(is_epidemic(&question(Class::Alert, 16), 16));
        assert!(!is_epidemic(&question(Class::Alert, 17), 16));
        assert!(!is_epidemic(&question(Class::Normal, 1), 16));
        assert!(!is_epidemic(&question(Class::Bulk, 1), 16));
    }
}
