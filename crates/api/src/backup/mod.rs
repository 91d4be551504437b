//! What the actions of AWS Backup share: its faults, pages and tags, vaults with their
//! policies, recovery points and jobs.
pub mod faults;
pub mod filters;
pub mod holds;
pub mod jobs;
pub mod lifecycle;
pub mod page;
pub mod plans;
pub mod points;
pub mod restore;
pub mod tags;
pub mod testing;
pub mod vaults;
