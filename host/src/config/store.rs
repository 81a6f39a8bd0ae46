//! `[store]`: whether its URLs can be opened and its options exist. Connects to nothing.

use object_store::ObjectStoreScheme;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use url::Url;

use super::explain;
use super::options::StoreOptions;
use super::read::Report;
use super::{raw, resolve};

/// What is wrong goes to the report.
pub(super) fn resolve(given: raw::Store, report: &mut Report) -> Option<StoreOptions> {
    if given.url.is_none() {
        resolve::required(
            report,
            "store",
            "url",
            "where the tables go: url = \"file:./lake\" or \"s3://bucket/prefix\"",
        );
    }
    for (key, url) in [("store.url", &given.url), ("store.control", &given.control)] {
        if let Some((message, hint)) = url.as_ref().and_then(|url| wrong_url(url)) {
            report.error(key, message, hint);
        }
    }
    let url = given.url?;
    let kind = Url::parse(&url).ok().and_then(|url| Some(ObjectStoreScheme::parse(&url).ok()?.0));
    for name in given.options.keys().filter(|name| !known(kind.as_ref(), name)) {
        let path = format!("store.{name}");
        let location = report.locate_key(&path);
        let hint = explain::nearest(name, ["url", "control", "region", "endpoint", "access_key_id"].into_iter())
            .map(|near| format!("did you mean `{near}`? "))
            .unwrap_or_default();
        let hint = format!("{hint}url, control, or an option as object_store names it: aws_region, aws_endpoint ...");
        let problem = super::Problem::error(path, format!("`{name}` is no option of this kind of store"));
        report.problems.push(problem.hint(hint).at(location));
    }
    Some(StoreOptions { url, control: given.control, options: given.options })
}

/// What is wrong with the URL, and what to write.
fn wrong_url(text: &str) -> Option<(String, String)> {
    const FORMS: &str = "file:./lake, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";
    if let Some(path) = text.strip_prefix("file:") {
        return path
            .trim_start_matches("//")
            .is_empty()
            .then(|| ("the URL names no folder".to_owned(), FORMS.to_owned()));
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        // A plain path.
        Err(url::ParseError::RelativeUrlWithoutBase) if !text.is_empty() && !text.contains("://") => return None,
        Err(error) => return Some((format!("this is no URL: {error}"), FORMS.to_owned())),
    };
    let schemes = ["file", "s3", "gs", "az"];
    if schemes.contains(&url.scheme()) && url.host_str().is_none_or(str::is_empty) {
        return Some(("the URL names no bucket".to_owned(), FORMS.to_owned()));
    }
    if ObjectStoreScheme::parse(&url).is_ok() {
        return None;
    }
    let near = explain::nearest(url.scheme(), schemes.into_iter()).map(|near| format!("did you mean `{near}:`? "));
    let message = format!("no store is known for URLs of `{}:`", url.scheme());
    Some((message, format!("{}{FORMS}", near.unwrap_or_default())))
}

/// Whether it is an option of that kind of store; of any, where the kind has none, so that a local store can stand in
/// for the real one without a change to the file.
fn known(kind: Option<&ObjectStoreScheme>, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let (aws, azure) = (name.parse::<AmazonS3ConfigKey>().is_ok(), name.parse::<AzureConfigKey>().is_ok());
    let google = name.parse::<GoogleConfigKey>().is_ok();
    match kind {
        Some(ObjectStoreScheme::AmazonS3) => aws,
        Some(ObjectStoreScheme::MicrosoftAzure) => azure,
        Some(ObjectStoreScheme::GoogleCloudStorage) => google,
        _ => aws || azure || google,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for good in
            ["file:./lake", "file:///lake", "lake/x", "s3://b", "s3://b/x", "gs://b/x", "az://c/x", "memory:///"]
        {
            assert_eq!(wrong_url(good), None, "{good}");
        }
        for (bad, expected) in [
            ("", "no URL"),
            ("file:", "no folder"),
            ("file://", "no folder"),
            ("s4://bucket", "no store is known for URLs of `s4:`"),
            ("s3://", "no bucket"),
            ("s3://[x", "this is no URL"),
        ] {
            let (message, _) = wrong_url(bad).unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(message.contains(expected), "{bad}: {message}");
        }
    }

    #[test]
    fn options_belong_to_their_store() {
        let kind = |url: &str| Some(ObjectStoreScheme::parse(&Url::parse(url).unwrap()).unwrap().0);
        assert!(known(kind("s3://b").as_ref(), "AWS_ENDPOINT") && known(kind("s3://b").as_ref(), "allow_http"));
        assert!(!known(kind("s3://b").as_ref(), "google_service_account"));
        assert!(known(kind("file:///x").as_ref(), "aws_region") && !known(kind("file:///x").as_ref(), "ulr"));
    }
}
