//! How tokens are shared out.
//!
//! Binary Spray and Wait (Spyropoulos, Psounis, Raghavendra 2005): who has several tokens gives half of them. Weighted,
//! as in Encounter-Based Routing (Nelson, Bakht, Kravets 2009), by how much each side reaches, within bounds that a
//! neighbour which claims everything cannot move.

/// Who reaches more than this reaches everything.
const REACH_MAX: usize = 50_000;

/// Tokens that go to a neighbour, of `copies` that are here: between a quarter and three quarters, at least one; one
/// stays if there are two. `reach` is how many destinations the neighbour and this node know.
pub(crate) fn share(copies: u8, theirs: usize, ours: usize) -> u8 {
    if copies < 2 {
        return copies;
    }
    let (theirs, ours) = (theirs.min(REACH_MAX) + 1, ours.min(REACH_MAX) + 1);
    let part = usize::from(copies) * theirs / (theirs + ours);
    let part = u8::try_from(part).unwrap_or(u8::MAX);
    let quarter = copies / 4;
    part.clamp(quarter, copies - quarter).clamp(1, copies - 1)
}

/// The tokens for everybody's favourite: half.
pub(crate) const fn half_of(copies: u8) -> u8 {
    copies.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equals_share_alike_and_the_last_token_goes_whole() {
        assert_eq!(share(8, 10, 10), 4);
        assert_eq!(share(2, 10, 10), 1);
        assert_eq!(share(1, 0, 10), 1);
        assert_eq!(share(0, 10, 10), 0);
        assert_eq!(share(8, usize::MAX, 0), 6, "a liar gets three quarters");
        assert_eq!(share(8, 0, 1_000), 2);
    }

    proptest! {
        #[test]
        fn tokens_are_never_made(copies: u8, theirs: usize, ours: usize) {
            let given = share(copies, theirs, ours);
            prop_assert!(given <= copies);
            prop_assert!(copies < 2 || (given > 0 && given < copies));
        }
    }
}
