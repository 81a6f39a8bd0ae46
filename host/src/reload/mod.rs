//! What changes while the pipelines run: plugin files, folders of them, and the configuration.

pub mod watch;
