//! The `rillgate` command.

pub mod check;
