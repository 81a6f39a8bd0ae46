//! The one thing that plugins can do beside answering: write lines to the host's log, not too many and not too long.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use super::bindings::rillgate::plugin::log::Level;
use super::instance::{Host, MAX_REASON_BYTES};
use super::secrets::Secrets;

/// Lines that a plugin may write at once, and then one for each [`LINE_EVERY`], over all of its instances.
const BURST: u32 = 100;
const LINE_EVERY: Duration = Duration::from_millis(100);
/// Longer messages are cut.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// The lines that a plugin may still write: a token bucket.
pub(super) struct Lines {
    plugin: String,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    /// When `left` was last added to.
    filled: Instant,
    dropped: u64,
}

impl Lines {
    pub(super) fn new(plugin: String) -> Self {
        Self { plugin, bucket: Mutex::new(Bucket { left: BURST, filled: Instant::now(), dropped: 0 }) }
    }

    pub(super) fn write(&self, level: Level, message: &str, secrets: &Secrets) {
        // A panic elsewhere can't leave three numbers in a state that matters.
        let taken = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let Some(dropped) = taken else { return };
        // The name of the pipeline is in the span that surrounds the work of a pipeline.
        let plugin = &self.plugin;
        if dropped > 0 {
            tracing::warn!(target: "rillgate::plugin", plugin, dropped, "the plugin logs too much: lines were dropped");
        }
        let message = printable(message, secrets);
        match level {
            Level::Debug => tracing::debug!(target: "rillgate::plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "rillgate::plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "rillgate::plugin", plugin, "{message}"),
            Level::Error => tracing::error!(target: "rillgate::plugin", plugin, "{message}"),
        }
    }
}

impl Bucket {
    /// Takes one line, if there is one: the number of those that were dropped since the last.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.filled).as_nanos() / LINE_EVERY.as_nanos();
        let gained = u32::try_from(passed).unwrap_or(u32::MAX).min(BURST);
        if gained > 0 {
            self.left = (self.left + gained).min(BURST);
            self.filled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.dropped))
            }
            None => {
                self.dropped += 1;
                None
            }
        }
    }
}

/// The first part of a message, on one line.
fn printable(message: &str, secrets: &Secrets) -> String {
    let mut shown = plain(&secrets.redact(secrets.head(message, MAX_MESSAGE_BYTES)), MAX_MESSAGE_BYTES);
    if message.len() > MAX_MESSAGE_BYTES {
        shown.push('…');
    }
    shown
}

/// The first `bytes` bytes of a plugin's words, without what would break a line, turn it around or steer a terminal.
pub(super) fn plain(words: &str, bytes: usize) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    words[..words.floor_char_boundary(bytes)].chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// A reason in a plugin's words, or `otherwise` where nothing of them can be shown.
pub(super) fn reason(words: &str, secrets: &Secrets, otherwise: &str) -> String {
    let reason = plain(&secrets.redact(secrets.head(words, MAX_REASON_BYTES)), MAX_REASON_BYTES);
    if reason.trim().is_empty() { otherwise.to_owned() } else { reason }
}

/// Defines `rillgate:plugin/log`, by the name that the component gives it.
pub(super) fn define(linker: &mut Linker<Host>, name: &str) -> wasmtime::Result<()> {
    // The message is read where it lies, so that its length costs the host nothing.
    let log = |store: StoreContextMut<Host>, (level, message): (Level, WasmStr)| {
        let message = message.to_str(&store)?;
        let host = store.data();
        host.lines.write(level, &message, &host.secrets);
        Ok(())
    };
    linker.instance(name)?.func_wrap("log", log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_logs_too_much_is_held_to_a_rate_and_told_so() {
        let start = Instant::now();
        let mut bucket = Bucket { left: BURST, filled: start, dropped: 0 };
        assert_eq!((0..250).filter(|_| bucket.take(start).is_some()).count(), BURST as usize);
        assert_eq!(bucket.take(start + LINE_EVERY), Some(150));
        assert_eq!(bucket.take(start + LINE_EVERY), None);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..250).filter(|_| bucket.take(later).is_some()).count(), BURST as usize);
    }

    #[test]
    fn messages_stay_one_line_of_bounded_length() {
        let none = Secrets::default();
        assert_eq!(printable("a\nb\u{1b}[31m", &none), "a b [31m");
        let long = printable(&"ä".repeat(5000), &none);
        assert_eq!(long.chars().count(), MAX_MESSAGE_BYTES / 2 + 1);
        assert!(long.ends_with("ä…"));
        let secrets = Secrets::new(&[("token".to_owned(), "hush-hush".to_owned())]);
        assert_eq!(printable("sent with hush-hush\n", &secrets), "sent with *** ");
    }

    #[test]
    fn reasons_are_never_blank() {
        let reason = |words: &str, otherwise: &str| reason(words, &Secrets::default(), otherwise);
        assert_eq!(reason("no\u{7}such\nstation\u{202e}", "-"), "no such station ");
        assert_eq!(reason("\u{7}\u{2029}\n", "no reason"), "no reason");
        assert_eq!(reason(&"x".repeat(2000), "-").len(), MAX_REASON_BYTES);
    }
}
