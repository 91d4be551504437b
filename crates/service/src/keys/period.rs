//! When keys are due for rotation.
use std::time::Duration;

use model::Timestamp;

/// Days between rotations unless somebody says otherwise ("EnableKeyRotation").
pub const PERIOD_DAYS: u32 = 365;
/// When a key is due again.
pub fn next(from: Timestamp, period_days: u32) -> Timestamp {
    from.plus(Duration::from_secs(u64::from(period_days) * 24 * 3_600))
}
