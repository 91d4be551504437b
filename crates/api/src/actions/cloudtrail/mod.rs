//! Actions of the AWS CloudTrail API.
pub(super) mod lookup_events;
