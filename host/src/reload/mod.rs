//! Another version of a pipeline: whether it is any good, before it takes over.
//!
//! - [`golden`]: cases that lie beside a plugin, and what must come of them
//! - [`shadow`]: both versions over the same newest batches
//! - [`report`]: what a shadow run found, and whether that is within limits

mod compare;
pub mod golden;
mod groups;
mod json;
pub mod report;
pub mod shadow;
#[cfg(test)]
mod tests;
