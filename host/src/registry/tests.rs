//! The client against a registry, and against servers that are none or won't answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::*;

const STRING: &str = r#""string""#;
const RECORD: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;

fn options(url: &str) -> RegistryOptions {
    RegistryOptions { url: url.to_owned(), username: None, password: None }
}

fn registry(url: &str) -> Registry {
    Registry::new(&options(url)).unwrap()
}

/// A server that answers all requests so: which it is, path and headers.
async fn server<R>(answer: impl Fn(usize, String, HeaderMap) -> R + Clone + Send + Sync + 'static) -> String
where
    R: IntoResponse + Send + 'static,
{
    let count = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
        let answer = answer(count.fetch_add(1, Ordering::Relaxed), uri.path().to_owned(), headers);
        async move { answer.into_response() }
    });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

fn error(status: StatusCode, code: u32, message: &str) -> Response {
    (status, format!(r#"{{"error_code":{code},"message":"{message}"}}"#)).into_response()
}

#[tokio::test]
async fn schemas_are_registered_and_found_again() {
    let embedded = EmbeddedRegistry::start(&tokio::runtime::Handle::current()).unwrap();
    let registry = registry(embedded.url());
    assert_eq!(registry.newest("a/b c-value").await, Ok(None));
    let first = registry.register("a/b c-value", STRING).await.unwrap();
    let second = registry.register("a/b c-value", RECORD).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(registry.register("a/b c-value", STRING).await, Ok(first), "again, and nothing changes");
    assert_eq!(registry.register("other", RECORD).await, Ok(second));
    let newest = registry.newest("a/b c-value").await.unwrap().unwrap();
    assert_eq!((newest.id, newest.schema.schema.as_str()), (second, RECORD));
    let refused = registry.register("other", "{").await.unwrap_err();
    assert!(refused.to_string().starts_with("subject other: the schema can't be used: Invalid schema"), "{refused}");

    registry.fetch(&[first, second, 99]).await;
    assert!(registry.schemas().get(first).unwrap().is_ok() && registry.schemas().get(second).unwrap().is_ok());
    assert_eq!(registry.schemas().get(99), Some(Err("the schema registry has no schema of this id".to_owned())));
    assert_eq!(registry.schemas().get(98), None, "nobody asked");
}

#[tokio::test]
async fn a_base_path_is_kept_and_who_asks_is_said() {
    let url = server(|_, path, headers| {
        let login = headers.get("authorization").map(|login| login.to_str().unwrap().to_owned());
        assert_eq!(path, "/apis/ccompat/v7/schemas/ids/5");
        // me:p@ss
        assert_eq!(login.as_deref(), Some("Basic bWU6cEBzcw=="));
        format!(r#"{{"schema":{STRING:?}}}"#)
    })
    .await;
    let given = RegistryOptions {
        username: Some("me".to_owned()),
        password: Some("p@ss".to_owned()),
        ..options(&format!("{url}/apis/ccompat/v7/"))
    };
    let in_url = options(&format!("{}/apis/ccompat/v7", url.replace("http://", "http://me:p%40ss@")));
    for options in [given, in_url] {
        let registry = Registry::new(&options).unwrap();
        registry.fetch(&[5]).await;
        assert!(registry.schemas().get(5).unwrap().is_ok());
        for shown in [format!("{options:?}"), format!("{registry:?}"), registry.client.odd("x").to_string()] {
            assert!(!shown.contains("p@ss") && !shown.contains("p%40ss"), "{shown}");
        }
    }
}

#[tokio::test]
async fn what_may_pass_is_waited_for_and_is_no_unknown_schema() {
    let url = server(|count, _, _| match count {
        0 => error(StatusCode::INTERNAL_SERVER_ERROR, 50_001, "no leader"),
        1 => (StatusCode::NOT_FOUND, "<html>no such page</html>").into_response(),
        2 => (StatusCode::OK, "<html>hello</html>").into_response(),
        3 => (StatusCode::OK, "{}").into_response(),
        4 => error(StatusCode::TOO_MANY_REQUESTS, 42_900, "slow down"),
        5 => error(StatusCode::UNAUTHORIZED, 40_101, "who?"),
        _ => format!(r#"{{"schema":{STRING:?}}}"#).into_response(),
    })
    .await;
    let registry = registry(&url);
    registry.fetch(&[5]).await;
    assert!(registry.schemas().get(5).unwrap().is_ok());
}

#[tokio::test]
async fn a_registry_that_is_not_there_yet_is_waited_for() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let registry = Arc::new(registry(&format!("http://{address}")));
    let asking = tokio::spawn({
        let registry = Arc::clone(&registry);
        async move { registry.fetch(&[1, 2, 17]).await }
    });
    let failed = registry.knock("a").await.unwrap_err();
    assert!(failed.may_pass() && failed.to_string().contains("onnection refused"), "{failed}");
    assert!(!asking.is_finished() && registry.schemas().get(1).is_none());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let routes = Router::new().fallback(|| async { format!(r#"{{"schema":{STRING:?}}}"#) });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    tokio::time::timeout(Duration::from_secs(30), asking).await.unwrap().unwrap();
    assert!([1, 2, 17].iter().all(|id| registry.schemas().get(*id).unwrap().is_ok()));
}

#[tokio::test]
async fn an_id_that_many_lack_is_asked_for_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let url = server(move |_, _, _| {
        count.fetch_add(1, Ordering::Relaxed);
        format!(r#"{{"schema":{STRING:?}}}"#)
    })
    .await;
    let registry = registry(&url);
    futures::future::join_all((0..20).map(|_| registry.fetch(&[7]))).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_registry_says_no_to_is_said_plainly() {
    let url = server(|_, path, _| match path.split('/').nth(2) {
        Some("login") => error(StatusCode::UNAUTHORIZED, 401, "no"),
        Some("old") => error(StatusCode::CONFLICT, 409, "field b: no default\\nsee there"),
        _ => error(StatusCode::UNPROCESSABLE_ENTITY, 42_201, "not Avro"),
    })
    .await;
    let registry = registry(&url);
    for (subject, words) in [
        ("login", format!("the schema registry at {url}/ refuses the user or the password (HTTP 401)")),
        (
            "old",
            "subject old: the schema registry finds the schema incompatible with the ones before: field b: no default see there"
                .to_owned(),
        ),
        ("none", "subject none: the schema can't be used: not Avro".to_owned()),
    ] {
        let error = registry.register(subject, STRING).await.unwrap_err();
        assert!(!error.may_pass());
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn schemas_of_other_kinds_and_endless_answers_are_of_no_use() {
    let url = server(|_, path, _| match path.as_str() {
        "/schemas/ids/1" => r#"{"schemaType":"PROTOBUF","schema":"syntax"}"#.to_owned(),
        "/schemas/ids/2" => r#"{"schema":"{\"type\":\"record\"}"}"#.to_owned(),
        _ => format!(r#"{{"schema":"{}"}}"#, "x".repeat(9 << 20)),
    })
    .await;
    let registry = registry(&url);
    registry.fetch(&[1, 2]).await;
    assert_eq!(registry.schemas().get(1), Some(Err("it is PROTOBUF, not Avro".to_owned())));
    assert_eq!(registry.schemas().get(2), Some(Err("the schema has a type without a name".to_owned())));
    let endless = registry.knock("a").await.unwrap_err();
    assert!(endless.to_string().ends_with("an answer of more than 8388608 bytes"), "{endless}");
}

#[tokio::test]
async fn what_a_schema_refers_to_comes_along() {
    let url = server(|_, path, _| match path.as_str() {
        "/schemas/ids/1" => r#"{"schema":"{\"type\":\"array\",\"items\":\"x.Outer\"}",
            "references":[{"name":"x.Outer","subject":"outer","version":2},{"name":"x.Inner","subject":"inner","version":1}]}"#
            .to_owned()
            .into_response(),
        "/schemas/ids/2" => r#"{"schema":"\"x.Gone\"","references":[{"name":"x.Gone","subject":"gone","version":1}]}"#
            .to_owned()
            .into_response(),
        "/subjects/outer/versions/2" => r#"{"schema":"{\"type\":\"record\",\"name\":\"x.Outer\",\"fields\":[{\"name\":\"i\",\"type\":\"Inner\"}]}",
            "references":[{"name":"x.Inner","subject":"inner","version":1}]}"#
            .to_owned()
            .into_response(),
        "/subjects/inner/versions/1" => {
            r#"{"schema":"{\"type\":\"enum\",\"name\":\"x.Inner\",\"symbols\":[\"A\"]}"}"#.to_owned().into_response()
        }
        _ => error(StatusCode::NOT_FOUND, 40_401, "no"),
    })
    .await;
    let registry = registry(&url);
    registry.fetch(&[1, 2]).await;
    let schema = registry.schemas().get(1).unwrap().unwrap();
    let mut bytes = Vec::new();
    schema.encode(&json!([{ "i": "A" }]), &mut bytes).unwrap();
    assert_eq!(bytes, [2, 0, 0]);
    let gone = registry.schemas().get(2).unwrap().unwrap_err();
    assert_eq!(gone, "it refers to `gone`, which the registry hasn't got");
}

#[test]
fn options_that_cannot_be() {
    for (url, words) in [
        ("localhost:8081", "it has to begin with http:// or https://"),
        ("ftp://host", "it has to begin with http:// or https://"),
        ("http://", "empty host"),
    ] {
        let error = options(url).check().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(options("https://host/apis/ccompat/v7").check(), Ok(()));
}
