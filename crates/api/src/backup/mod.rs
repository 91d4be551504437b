//! What the actions of AWS Backup share: its faults, pages and tags, and vaults with their policies.
pub mod faults;
pub mod page;
pub mod tags;
pub mod vaults;
