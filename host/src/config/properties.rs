//! Kafka's client properties: from the file, from a Java properties file, and which of them are rillgate's own.

use std::ops::Range;

/// Properties that rillgate sets itself, and what to use in their place.
pub(super) const OWN: [(&str, &str); 6] = [
    ("group.id", "`group` in the pipeline"),
    ("auto.offset.reset", "`start` in the pipeline"),
    ("enable.auto.commit", "nothing: offsets are committed with the files"),
    ("enable.auto.offset.store", "nothing: offsets are committed with the files"),
    ("enable.partition.eof", "nothing: with it a rebalance can skip a record"),
    ("transactional.id", "nothing: rillgate names its transactions"),
];

/// One property of a Java properties file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) value: String,
    /// Where it stands in the file.
    pub(super) range: Range<usize>,
}

/// Reads a Java properties file: `name=value`, `name: value` or `name value`, comments after `#` or `!`, lines that go
/// on after a backslash, `\uXXXX`.
/// See `java.util.Properties.load`.
pub(super) fn parse_java(text: &str) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let mut logical = String::new();
        loop {
            let line = &text[at..at + text[at..].find('\n').unwrap_or(text.len() - at)];
            at = (at + line.len() + 1).min(text.len());
            let content = line.trim_end_matches('\r').trim_start_matches([' ', '\t', '\x0c']);
            let first = logical.is_empty();
            let comment = first && content.starts_with(['#', '!']);
            let backslashes = content.len() - content.trim_end_matches('\\').len();
            if !comment && backslashes % 2 == 1 && at < text.len() {
                logical.push_str(&content[..content.len() - 1]);
                continue;
            }
            if !comment {
                logical.push_str(content);
            }
            break;
        }
        if let Some((name, value)) = split(&logical) {
            let end = start + text[start..at].trim_end().len();
            properties.push(Property {
                name: unescape(name),
                value: unescape(value).trim_end().to_owned(),
                range: start..end,
            });
        }
    }
    properties
}

/// Name and value of a line; `None` if it is empty.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && matches!(c, '=' | ':' | ' ' | '\t');
        escaped = !escaped && *c == '\\';
        ends
    });
    let end = end.map_or(line.len(), |(at, _)| at);
    let value = line[end..].trim_start_matches([' ', '\t']);
    let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim_start_matches([' ', '\t']);
    (end > 0).then_some((&line[..end], value))
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match if c == '\\' {
            chars.next()
        } else {
            plain.push(c);
            continue;
        } {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                let decoded = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                plain.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

/// User and password of a `sasl.jaas.config` such as
/// `org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="pw";`
pub(super) fn jaas(config: &str) -> Result<(String, String), &'static str> {
    let module = config.split_whitespace().next().unwrap_or_default();
    if !module.ends_with(".PlainLoginModule") && !module.ends_with(".ScramLoginModule") {
        return Err("only PlainLoginModule and ScramLoginModule can be taken over; \
                    set `sasl.username` and `sasl.password`, or librdkafka's own properties");
    }
    let option = |name: &str| {
        let mut rest = config;
        loop {
            let at = rest.find(name)?;
            let alone = rest[..at].ends_with(char::is_whitespace);
            rest = &rest[at + name.len()..];
            let Some(value) = rest.trim_start().strip_prefix('=').map(str::trim_start).filter(|_| alone) else {
                continue;
            };
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            return match quote {
                Some(quote) => quoted(&value[1..], quote),
                None => Some(value.split([';', ' ', '\t', '\n']).next().unwrap_or_default().to_owned()),
            };
        }
    };
    match (option("username"), option("password")) {
        (Some(username), Some(password)) => Ok((username, password)),
        _ => Err("it has no username=\"...\" and password=\"...\""),
    }
}

/// The text up to the closing quote, without its backslashes.
fn quoted(text: &str, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => value.push(chars.next()?),
            c if c == quote => return Some(value),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_source_reserves_is_refused_here() {
        for reserved in crate::source::SourceOptions::reserved_properties() {
            assert!(OWN.iter().any(|(own, _)| *own == reserved), "{reserved}");
        }
    }

    #[test]
    fn java_properties() {
        let text = "# Kafka\nbootstrap.servers=a:9092\r\n! x\n\n  security.protocol : SASL_SSL\nempty\n\
                    list=a,\\\n    b\nuni = \\u00e9\\=\\\\ \n";
        let found: Vec<_> = parse_java(text).into_iter().map(|p| (p.name, p.value, text[p.range].len())).collect();
        let expected = [
            ("bootstrap.servers", "a:9092", 24),
            ("security.protocol", "SASL_SSL", 30),
            ("empty", "", 5),
            ("list", "a,b", 14),
            ("uni", "é=\\", 16),
        ];
        let expected: Vec<_> = expected.map(|(name, value, len)| (name.to_owned(), value.to_owned(), len)).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn user_and_password_of_a_jaas_config() {
        let plain =
            "org.apache.kafka.common.security.plain.PlainLoginModule   required username='KEY' password='a;b=\\'c';";
        assert_eq!(jaas(plain), Ok(("KEY".to_owned(), "a;b='c".to_owned())));
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required user_password=\"x\"\n username=me password = \"password\";";
        assert_eq!(jaas(scram), Ok(("me".to_owned(), "password".to_owned())));
        assert!(jaas("com.sun.security.auth.module.Krb5LoginModule required;").unwrap_err().contains("only Plain"));
        assert!(jaas("a.PlainLoginModule required username=\"x\";").unwrap_err().contains("password"));
    }
}
