//! What becomes of one JSON message: the row, or the reason.

use super::helpers::{check, decoder, one};
use crate::decode::DecodeOptions;

const JSON: DecodeOptions = DecodeOptions::Json {};

#[test]
fn fields_go_to_their_columns() {
    check(
        &JSON,
        "a = 'utf8', b = 'int64'",
        &[
            (r#"{"a":"x","b":1}"#, Ok(r#"{"a":"x","b":1}"#)),
            (r#"{"b":1,"a":"x"}"#, Ok(r#"{"a":"x","b":1}"#)),
            (" \n{ \"b\" :\t1 , \"a\" : \"x\" }\r\n", Ok(r#"{"a":"x","b":1}"#)),
            (r#"{"a":"x"}"#, Ok(r#"{"a":"x","b":null}"#)),
            (r#"{"a":null,"b":null}"#, Ok(r#"{"a":null,"b":null}"#)),
            ("{}", Ok(r#"{"a":null,"b":null}"#)),
            (r#"{"c":{"b":[7,{"a":"y"}]},"b":1,"d":"z","e":[],"f":{}}"#, Ok(r#"{"a":null,"b":1}"#)),
            (r#"{"A":"x","b ":1}"#, Ok(r#"{"a":null,"b":null}"#)),
            (r#"{"\u0061":"\ud83d\ude86\n\"","b":-0}"#, Ok(r#"{"a":"🚆\n\"","b":0}"#)),
            (r#"{"a":"x","b":1,"a":"y","b":2}"#, Ok(r#"{"a":"y","b":2}"#)),
            (r#"{"a":"x","a":null}"#, Ok(r#"{"a":null,"b":null}"#)),
        ],
    );
    check(
        &JSON,
        r#"time = { type = 'int32', from = 't' }, t2 = 'utf8', _id = { type = 'utf8', from = '_id' }, "q\"" = 'int32'"#,
        &[
            (r#"{"t":1,"time":2,"_id":"x"}"#, Ok(r#"{"time":1,"t2":null,"_id":"x","q\"":null}"#)),
            (r#"{"q\"":3}"#, Ok(r#"{"time":null,"t2":null,"_id":null,"q\"":3}"#)),
        ],
    );
}

#[test]
fn text_takes_anything() {
    check(
        &JSON,
        "a = 'utf8'",
        &[
            (r#"{"a":1.50}"#, Ok(r#"{"a":"1.50"}"#)),
            (r#"{"a":123456789012345678901234567890}"#, Ok(r#"{"a":"123456789012345678901234567890"}"#)),
            (r#"{"a":true}"#, Ok(r#"{"a":"true"}"#)),
            (r#"{"a":false}"#, Ok(r#"{"a":"false"}"#)),
            (r#"{"a":[51.5, -0.1]}"#, Ok(r#"{"a":"[51.5, -0.1]"}"#)),
            (r#"{"a":{"b":"\u0041"}}"#, Ok(r#"{"a":"{\"b\":\"\\u0041\"}"}"#)),
            (r#"{"a":""}"#, Ok(r#"{"a":""}"#)),
        ],
    );
    check(
        &JSON,
        "a = 'binary'",
        &[(r#"{"a":"\u00e9"}"#, Ok(r#"{"a":"c3a9"}"#)), (r#"{"a":[1]}"#, Ok(r#"{"a":"5b315d"}"#))],
    );
}

#[test]
fn the_other_types_are_kept() {
    check(
        &JSON,
        "i = 'int32', l = 'int64', f = 'float32', d = 'float64', b = 'boolean', day = 'date', t = 'timestamp'",
        &[
            (
                r#"{"i":-1,"l":9007199254740993,"f":0.1,"d":-1e3,"b":true,"day":"2024-02-29","t":"2024-02-29T12:00:00.5+02:00"}"#,
                Ok(
                    r#"{"i":-1,"l":9007199254740993,"f":0.1,"d":-1000.0,"b":true,"day":"2024-02-29","t":"2024-02-29T10:00:00.500Z"}"#,
                ),
            ),
            (
                r#"{"i":3.0,"l":1e3,"f":3,"d":3,"b":false,"day":1,"t":1000}"#,
                Ok(r#"{"i":3,"l":1000,"f":3.0,"d":3.0,"b":false,"day":"1970-01-02","t":"1970-01-01T00:00:01Z"}"#),
            ),
            (r#"{"i":3.5}"#, Err("column i: expected int32, found 3.5")),
            (r#"{"i":2147483648}"#, Err("column i: expected int32, found 2147483648, which is out of range")),
            (
                r#"{"l":9223372036854775808}"#,
                Err("column l: expected int64, found 9223372036854775808, which is out of range"),
            ),
            (r#"{"l":"12"}"#, Err(r#"column l: expected int64, found "12""#)),
            (r#"{"d":"abc"}"#, Err(r#"column d: expected float64, found "abc""#)),
            (r#"{"d":1e999}"#, Err("column d: expected float64, found 1e999, which is out of range")),
            (r#"{"d":true}"#, Err("column d: expected float64, found true")),
            (r#"{"f":1e39}"#, Err("column f: expected float32, found 1e39, which is out of range")),
            (r#"{"f":[1.5]}"#, Err("column f: expected float32, found [1.5]")),
            (r#"{"b":1}"#, Err("column b: expected boolean, found 1")),
            (r#"{"b":"true"}"#, Err(r#"column b: expected boolean, found "true""#)),
            (r#"{"b":{"x":1}}"#, Err(r#"column b: expected boolean, found {"x":1}"#)),
            (
                r#"{"day":"29.02.2024"}"#,
                Err(r#"column day: expected date (such as 2026-01-31, or days since 1970), found "29.02.2024""#),
            ),
            (
                r#"{"t":"yesterday"}"#,
                Err(r#"column t: expected timestamp (ISO-8601 text or epoch milliseconds), found "yesterday""#),
            ),
            (r#"{"t":false}"#, Err("column t: expected timestamp (ISO-8601 text or epoch milliseconds), found false")),
        ],
    );
}

#[test]
fn timestamps_as_the_column_says() {
    check(
        &JSON,
        "a = { type = 'timestamp', format = '%d.%m.%Y %H:%M', timezone = 'Europe/Paris' }, b = { type = 'timestamp', format = 'epoch_s' }",
        &[
            (
                r#"{"a":"01.07.2024 12:00","b":"1.25"}"#,
                Ok(r#"{"a":"2024-07-01T10:00:00Z","b":"1970-01-01T00:00:01.250Z"}"#),
            ),
            (
                r#"{"a":"31.03.2024 02:30"}"#,
                Err(r#"column a: expected timestamp (%d.%m.%Y %H:%M, in Europe/Paris), found "31.03.2024 02:30""#),
            ),
        ],
    );
}

#[test]
fn what_must_be_there_must_be_there() {
    let missing = Err("column a: missing or null, which `nullable = false` forbids");
    check(
        &JSON,
        "a = { type = 'int32', nullable = false }",
        &[
            (r#"{"a":1}"#, Ok(r#"{"a":1}"#)),
            (r#"{"a":null,"a":1}"#, Ok(r#"{"a":1}"#)),
            (r#"{"a":null}"#, missing),
            (r#"{"b":1}"#, missing),
        ],
    );
}

#[test]
fn what_is_no_object_is_named() {
    check(
        &JSON,
        "a = 'utf8'",
        &[
            ("[1,2]", Err("expected a JSON object, found an array: [1,2]")),
            ("\"text\"", Err("expected a JSON object, found a string: \"text\"")),
            ("-5", Err("expected a JSON object, found a number: -5")),
            ("true", Err("expected a JSON object, found a boolean: true")),
            ("null", Err("expected a JSON object, found null: null")),
            (" \n ", Err("expected a JSON object, found white space")),
            ("id,station\n1,A", Err("expected a JSON object, found no JSON: id,station\\n1,A")),
            ("\u{feff}{}", Err("expected a JSON object, found no JSON: \u{feff}{}")),
        ],
    );
}

#[test]
fn broken_json_is_located() {
    check(
        &JSON,
        "a = 'utf8', n = 'int64'",
        &[
            (r#"{"a":"x"} {"#, Err("not JSON: expected nothing after the object at byte 10, found {")),
            (r#"{"a":"x"}}"#, Err("not JSON: expected nothing after the object at byte 9, found }")),
            (r#"{"a":"x""#, Err("not JSON: expected `,` or `}`, found the end")),
            (r#"{"a":"x" "b":1}"#, Err(r#"not JSON: expected `,` or `}` at byte 9, found "b":1}"#)),
            (r#"{"a" "x"}"#, Err(r#"not JSON: expected `:` at byte 5, found "x"}"#)),
            (r#"{"a":}"#, Err("not JSON: expected a value at byte 5, found }")),
            (r#"{"a":"#, Err("not JSON: expected a value, found the end")),
            (r#"{"a":é}"#, Err("not JSON: expected a value at byte 5, found é}")),
            (r#"{a:1}"#, Err("not JSON: expected a field's name in quotes at byte 1, found a:1}")),
            (r#"{"a":"x",}"#, Err("not JSON: expected a field's name in quotes at byte 9, found }")),
            ("{", Err("not JSON: expected a field's name in quotes, found the end")),
            (r#"{"a":"x"#, Err("not JSON: a string without an end at byte 7")),
            ("{\"a\":\"x\ny\"}", Err("not JSON: a control character in a string at byte 8")),
            (r#"{"x":"\ud800"}"#, Err("not JSON: half a surrogate pair in a string at byte 12")),
            (r#"{"x":"\uZZZZ"}"#, Err("not JSON: `\\u` without four hexadecimal digits in a string at byte 8")),
            (r#"{"x":"\é"}"#, Err("not JSON: an unknown escape in a string at byte 7")),
            (r#"{"n":01}"#, Err("not JSON: a malformed number at byte 6")),
            (r#"{"n":1.}"#, Err("not JSON: a malformed number at byte 7")),
            (r#"{"x":nul}"#, Err("not JSON: an unknown word at byte 6")),
            (r#"{"x":[1,]}"#, Err("not JSON: expected a value at byte 8, found ]}")),
            (r#"{"x":[1 2]}"#, Err("not JSON: expected `,` or `]` at byte 8, found 2]}")),
            (r#"{"x":{"y":1,}}"#, Err("not JSON: expected a field's name in quotes at byte 12, found }}")),
            (r#"{"x":{"y" 1}}"#, Err("not JSON: expected `:` at byte 10, found 1}}")),
            (r#"{"x":{"y":1]}"#, Err("not JSON: expected `,` or `}` at byte 11, found ]}")),
            (r#"{"n":NaN}"#, Err("not JSON: expected a value at byte 5, found NaN}")),
        ],
    );
    let mut decoder = decoder(&JSON, "a = 'utf8'");
    assert_eq!(one(&mut decoder, b"{\"a\":\"\xff\"}"), Err("not UTF-8: byte 0xff at 6".to_owned()));
}

#[test]
fn reasons_are_short() {
    let mut decoder = decoder(&JSON, "a = 'int64'");
    let found = one(&mut decoder, format!(r#"{{"a":["{}"]}}"#, "\u{2028}x".repeat(1_000_000))).unwrap_err();
    assert!(found.starts_with(r#"column a: expected int64, found ["\u{2028}x"#) && found.len() < 500, "{found}");
}

#[test]
fn nesting_is_bounded() {
    let nested =
        |open: &str, depth: usize, close: &str| format!("{{\"a\":{}0{}}}", open.repeat(depth), close.repeat(depth));
    for column in ["a = 'utf8'", "b = 'utf8'", "a = 'int64'"] {
        let mut decoder = decoder(&JSON, column);
        for (open, close) in [("[", "]"), ("{\"x\":", "}"), ("[ ", " ]")] {
            let too_deep = Err("nested deeper than 128 levels".to_owned());
            assert_ne!(one(&mut decoder, nested(open, 127, close)), too_deep);
            assert_eq!(one(&mut decoder, nested(open, 128, close)), too_deep);
            assert_eq!(one(&mut decoder, nested(open, 2_000_000, close)), too_deep);
        }
        assert!(one(&mut decoder, "[".repeat(10_000_000)).is_err());
        assert!(one(&mut decoder, format!("{{\"a\":{}", "[".repeat(10_000_000))).is_err());
    }
}
