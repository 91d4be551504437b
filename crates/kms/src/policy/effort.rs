//! How much one question of a policy may cost.
//!
//! It does not know what is compared.
//!
//! Who writes a policy and who asks may be the same, and others share the processor with them. A
//! policy has at most 32 KiB and an encryption context 8 KiB, so whoever pairs them well asks for
//! 10⁸ steps; what people write takes some hundred.
use std::cell::Cell;

/// Steps of one question at most, a character compared each: about a millisecond.
const STEPS_MAX: usize = 1 << 20;

/// What is left of a question's steps.
#[derive(Debug)]
pub(super) struct Effort(Cell<usize>);

impl Effort {
    /// A question's.
    pub(super) fn new() -> Self {
        Self(Cell::new(STEPS_MAX))
    }

    /// Takes steps; none when there are not as many. Then nothing is left.
    pub(super) fn spend(&self, steps: usize) -> Option<()> {
        let left = self.0.get().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_spent() {
        let effort = Effort::new();
        assert_eq!(effort.spend(STEPS_MAX - 1), Some(()));
        assert_eq!(effort.spend(2), None);
        assert_eq!(effort.spend(1), None);
    }
}
