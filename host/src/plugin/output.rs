//! The last of what a plugin wrote to stdout and stderr: where languages say why they gave up.

use super::secrets::Secrets;

/// How much of it is kept.
const KEPT_BYTES: usize = 4 << 10;

/// The last 4 KiB that a plugin wrote in one call.
#[derive(Default)]
pub(super) struct LastOutput {
    bytes: Vec<u8>,
}

impl LastOutput {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT_BYTES)..]);
        let surplus = self.bytes.len().saturating_sub(KEPT_BYTES);
        self.bytes.drain(..surplus);
    }

    pub(super) fn text(&self, secrets: &Secrets) -> String {
        secrets.redact(&String::from_utf8_lossy(&self.bytes)).into_owned()
    }

    /// The message that explains a trap, on one line: of a Rust panic, a Go panic, or else the last line (where Python
    /// and JavaScript put the exception); `None` if nothing was written.
    pub(super) fn last_words(&self, secrets: &Secrets) -> Option<String> {
        let text = self.text(secrets);
        let rust = text.rfind("panicked at ").map(|start| (start, "note: "));
        let go = || text.rfind("panic: ").map(|start| (start, "goroutine "));
        let lines = match rust.or_else(go) {
            Some((start, after)) => text[start..].split(after).next().unwrap_or_default(),
            None => text.trim_end().lines().next_back().unwrap_or_default(),
        };
        let words = lines.split_whitespace().collect::<Vec<_>>().join(" ");
        (!words.is_empty()).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_words(written: &[&str]) -> Option<String> {
        let mut output = LastOutput::default();
        written.iter().for_each(|text| output.push(text.as_bytes()));
        output.last_words(&Secrets::default())
    }

    #[test]
    fn the_reason_of_a_panic_is_found_in_each_language() {
        let rust = "\nthread '<unnamed>' panicked at src/lib.rs:7:5:\nno such station:\n  X\n\
                    note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(last_words(&["hello\n", rust]).unwrap(), "panicked at src/lib.rs:7:5: no such station: X");
        let go = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.apply()\n";
        assert_eq!(last_words(&[go]).unwrap(), "panic: runtime error: index out of range [5] with length 3");
        let python = "Traceback (most recent call last):\n  File \"app.py\", line 3\nValueError: bad row\n";
        assert_eq!(last_words(&[python]).unwrap(), "ValueError: bad row");
        assert_eq!(last_words(&[]), None);
        assert_eq!(last_words(&["\n \n"]), None);
    }

    #[test]
    fn only_the_last_of_it_is_kept() {
        let mut output = LastOutput::default();
        for _ in 0..100 {
            output.push(&[b'x'; 1000]);
        }
        output.push(&[b'y'; 10_000]);
        assert_eq!(output.bytes, [b'y'; KEPT_BYTES]);
        assert!(output.bytes.capacity() <= 4 * KEPT_BYTES);
    }
}
