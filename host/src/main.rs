//! The `rillgate` command.
fn main() {}
