//! Schemas as registries hand them out, and JSON written by them.

use serde_json::json;

use super::*;

fn parse(schema: &str) -> Result<Schema, String> {
    Schema::parse(&SchemaText { schema: schema.to_owned(), references: Vec::new() })
}

#[test]
fn names_are_found_where_avro_looks_for_them() {
    let schema = r#"{"type":"record","name":"Outer","namespace":"a.b","fields":[
        {"name":"one","type":{"type":"enum","name":"E","symbols":["X","Y"]}},
        {"name":"two","type":"E"},
        {"name":"three","type":"a.b.E"},
        {"name":"four","type":{"type":"record","name":"c.Inner","fields":[{"name":"e","type":{"type":"fixed","name":"E","size":1}},{"name":"f","type":"E"}]}},
        {"name":"five","type":["null","Outer"]},
        {"name":"six","type":{"type":"c.Inner"}},
        {"name":"seven","type":{"type":{"type":"string"}}}]}"#;
    let schema = parse(schema).unwrap();
    let Node::Record(fields) = schema.node(schema.root) else { panic!("{schema:?}") };
    let node = |at: usize| schema.node(fields[at].node);
    assert_eq!(node(0), &Node::Enum(vec!["X".to_owned(), "Y".to_owned()]));
    assert_eq!((fields[1].node, fields[2].node), (fields[0].node, fields[0].node));
    let Node::Record(inner) = node(3) else { panic!("{:?}", node(3)) };
    assert_eq!((schema.node(inner[0].node), inner[1].node), (&Node::Fixed(1), inner[0].node));
    let Node::Union(branches) = node(4) else { panic!("{:?}", node(4)) };
    assert_eq!(branches[1], schema.root);
    assert_eq!((fields[5].node, node(6)), (fields[3].node, &Node::String));
    assert_eq!(parse("string").unwrap().node(0), &Node::String);
}

#[test]
fn meanings_that_do_not_fit_do_not_count() {
    for (schema, node) in [
        (r#"{"type":"long","logicalType":"date"}"#, Node::Long),
        (r#"{"type":"int","logicalType":"timestamp-millis"}"#, Node::Int),
        (r#"{"type":"bytes","logicalType":"decimal"}"#, Node::Bytes),
        (r#"{"type":"bytes","logicalType":"decimal","precision":1,"scale":2}"#, Node::Bytes),
        (r#"{"type":"bytes","logicalType":"decimal","precision":2}"#, Node::Decimal { size: None, scale: 0 }),
        (r#"{"type":"fixed","name":"F","size":8,"logicalType":"uuid"}"#, Node::Fixed(8)),
        (r#"{"type":"string","logicalType":"uuid"}"#, Node::String),
        (r#"{"type":"string","logicalType":"whatever","avro.java.string":"String"}"#, Node::String),
    ] {
        let parsed = parse(schema).unwrap();
        assert_eq!(parsed.node(parsed.root), &node, "{schema}");
    }
}

#[test]
fn what_is_no_schema_says_why() {
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(200), "}".repeat(200));
    for (schema, words) in [
        ("{", "the schema is no JSON"),
        ("5", "something else in it than types"),
        (r#""Unknown""#, "names a type `Unknown` that it doesn't define"),
        (r#"["int",["null"]]"#, "a union in a union"),
        (r#"{"type":"array"}"#, "without its `items`"),
        (r#"{"type":"map"}"#, "without its `values`"),
        (r#"{"type":"fixed","name":"F"}"#, "`fixed` without a `size`"),
        (r#"{"type":"record","name":"R"}"#, "a record without fields"),
        (r#"{"type":"record","name":"R","fields":[{"type":"int"}]}"#, "a field without a name"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#, "field `a` has no type"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "two fields `a`",
        ),
        (
            r#"["null",{"type":"enum","name":"E","symbols":[]},{"type":"enum","name":"E","symbols":[]}]"#,
            "defines `E` twice",
        ),
        (&deep, "the schema is no JSON: recursion limit exceeded"),
    ] {
        let reason = parse(schema).unwrap_err();
        assert!(reason.contains(words), "{schema}: {reason}");
    }
}

#[test]
fn json_is_written_as_the_schema_says_or_not_at_all() {
    let schema = parse(
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":3},{"name":"b","type":["null","string","R"],"default":null}]}"#,
    )
    .unwrap();
    let written = |value| {
        let mut bytes = Vec::new();
        schema.encode(&value, &mut bytes).map(|()| bytes)
    };
    assert_eq!(written(json!({})).unwrap(), [6, 0]);
    assert_eq!(written(json!({ "a": -1, "b": "x", "c": 1 })).unwrap(), [1, 2, 2, b'x']);
    assert_eq!(written(json!({ "b": { "a": 1 } })).unwrap(), [6, 4, 2, 0]);
    for (value, words) in [
        (json!(null), "another type"),
        (json!({ "a": 1.5 }), "a: 1.5 is no int"),
        (json!({ "a": 1_i64 << 40 }), "a: 1099511627776 is no int"),
        (json!({ "b": 5 }), "b: the value is of no branch"),
    ] {
        assert!(written(value).unwrap_err().contains(words));
    }
    for (kind, value, words) in [
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, json!("B"), "`B` is no symbol"),
        (r#"{"type":"fixed","name":"F","size":2}"#, json!("abc"), "3 bytes where the schema says 2"),
        (r#""bytes""#, json!("\u{100}"), "a character beyond U+00FF"),
        (r#"{"type":"record","name":"X","fields":[{"name":"x","type":"X"}]}"#, json!({}), "the field `x` is missing"),
    ] {
        let reason = parse(kind).unwrap().encode(&value, &mut Vec::new()).unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn what_is_unknown_is_forgotten_and_what_is_known_is_not() {
    let schemas = Schemas::default();
    let text = SchemaText { schema: r#""int""#.to_owned(), references: Vec::new() };
    schemas.insert(0, &text);
    for id in 1..=MAX_KNOWN as u32 + 1 {
        schemas.insert_unusable(id, "no".to_owned());
    }
    assert!(schemas.get(0).unwrap().is_ok());
    assert_eq!((schemas.get(1), schemas.get(MAX_KNOWN as u32 + 1)), (None, Some(Err("no".to_owned()))));
    schemas.insert(1, &text);
    assert!(schemas.get(1).unwrap().is_ok());
}
