//! Why a value doesn't decode, in words for whoever looks at the dead letters. Reasons are one line and never long.

/// The most characters of a found value that a reason shows.
const SHOWN_CHARS: usize = 60;

/// What is wrong with a value that was meant for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is of another type, or not written the way the column says.
    Type,
    /// It is of the right type but doesn't fit.
    Range,
    /// The bytes for a text column aren't UTF-8.
    Encoding,
    /// With it the column would hold more than 2 GiB, more than 32-bit offsets can count.
    TooLong,
}

/// `text` on one line and cut short: control characters and line separators are escaped, so that neither a log line nor a
/// terminal can be forged by a message.
pub(super) fn cut(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `text` in quotes, as [`cut`] shows it: for what has no quotes of its own.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text))
}

/// The reason for bytes that aren't UTF-8, saying where.
pub(super) fn not_utf8(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Err(error) => format!("not UTF-8: byte 0x{:02x} at {}", bytes[error.valid_up_to()], error.valid_up_to()),
        Ok(_) => "not UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_and_kept_on_one_line() {
        assert_eq!(cut("a\nb\r\u{1b}[31m\u{2028}"), "a\\nb\\r\\u{1b}[31m\\u{2028}");
        assert_eq!(cut(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(cut(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
        assert_eq!(quoted("x"), "\"x\"");
    }

    #[test]
    fn bytes_that_are_no_text_are_located() {
        assert_eq!(not_utf8(b"ab\xffc"), "not UTF-8: byte 0xff at 2");
        assert_eq!(not_utf8(b"\xe2\x82"), "not UTF-8: byte 0xe2 at 0");
    }
}
