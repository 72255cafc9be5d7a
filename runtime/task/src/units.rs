//! Amounts as people write them in a job file: "16 MiB", "5 s".

const BYTE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A number of bytes, such as "64 KiB".
pub(crate) fn bytes(text: &str) -> Option<u64> {
    amount(text, &BYTE_UNITS)
}

/// A number of milliseconds, such as "5 s".
pub(crate) fn millis(text: &str) -> Option<u64> {
    amount(text, &TIME_UNITS)
}

/// A share such as 0.92 in parts per million, or nothing if it is not between 0 and `most`.
pub(crate) fn ppm(share: f64, most: f64) -> Option<u32> {
    if !(0.0..=most).contains(&share) {
        return None;
    }
    // Through text, because that rounds exactly as a reader of the file would.
    format!("{:.0}", share * 1e6).parse().ok()
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let number: u64 = number.replace('_', "").parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_need_a_number_and_a_unit() {
        assert_eq!(bytes("16 MiB"), Some(16 << 20));
        assert_eq!(bytes("1_000kB"), Some(1_000_000));
        assert_eq!(millis(" 5 s "), Some(5_000));
        assert_eq!(millis("0 ms"), Some(0));
        for wrong in ["", "5", "MiB", "-1 B", "1.5 MiB", "5 s", "99999999999 GiB", "5 B B", "_ B"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn shares_round_to_parts_per_million() {
        assert_eq!(ppm(0.921_667, 1.0), Some(921_667));
        assert_eq!(ppm(553.0 / 600.0, 1.0), Some(921_667));
        assert_eq!(ppm(1.0, 1.0), Some(1_000_000));
        assert_eq!(ppm(0.0625, 1_000.0), Some(62_500));
        for wrong in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            assert_eq!(ppm(wrong, 1.0), None);
        }
    }
}
