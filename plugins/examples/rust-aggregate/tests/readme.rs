//! The README of the SDK shows this crate: word for word, or this fails.

#[test]
fn the_readme_shows_this_plugin() {
    let readme = include_str!("../../../../sdk/rust/README.md");
    let source = include_str!("../src/lib.rs");
    let code =
        source.lines().skip_while(|line| line.starts_with("//!") || line.is_empty()).collect::<Vec<_>>().join("\n");
    assert!(code.starts_with("use rillgate_sdk::prelude::*;") && code.len() > 1000);
    assert!(
        readme.contains(&code),
        "copy plugins/examples/rust-aggregate/src/lib.rs into sdk/rust/README.md, or the other way round"
    );
}
