//! What is known of a link when it comes up.

/// What the driver of a link can tell about it; each is a guess that only orders and sizes things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkProperties {
    /// Bytes of the largest frame that the link carries in one piece; `None` for a stream.
    pub mtu: Option<u32>,
    /// Bytes a second in the direction away from this node.
    pub rate_bytes_s: Option<u64>,
    /// For how many milliseconds the link will probably be up, from now on.
    pub expected_ms: Option<u64>,
}

impl LinkProperties {
    /// Milliseconds that `bytes` need on the link; zero where the rate is not known.
    #[must_use]
    pub const fn transfer_ms(&self, bytes: u64) -> u64 {
        match self.rate_bytes_s {
            Some(rate) if rate > 0 => bytes.saturating_mul(1_000) / rate,
            Some(_) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_takes_as_long_as_the_rate_says() {
        let slow = LinkProperties { rate_bytes_s: Some(50), ..LinkProperties::default() };
        assert_eq!(slow.transfer_ms(1_000), 20_000);
        assert_eq!(LinkProperties::default().transfer_ms(u64::MAX), 0);
        let broken = LinkProperties { rate_bytes_s: Some(0), ..LinkProperties::default() };
        assert_eq!(broken.transfer_ms(1), 0);
    }
}
