//! Files that are no plugins, each refused in words that say what to do; and compiled plugins that are kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// Why a file is refused.
fn refused(content: &[u8]) -> String {
    words(load(content).unwrap_err())
}

fn refused_text(text: &str) -> String {
    refused(&wat::parse_str(text).unwrap())
}

#[test]
fn a_file_that_is_no_component_is_told_from_one_that_is() {
    let missing = ENGINE.load(Path::new("nowhere/plugin.wasm")).unwrap_err().to_string();
    assert_eq!(missing, "can't read the plugin nowhere/plugin.wasm: No such file or directory (os error 2)");
    assert_eq!(refused(b""), "can't be loaded: the file is empty");
    assert_eq!(refused(b"#!/bin/sh\n"), "can't be loaded: it is not WebAssembly");
    assert_eq!(
        refused(b"  (component)"),
        "can't be loaded: it is WebAssembly as text: turn it into a binary with `wasm-tools parse`"
    );
    assert_eq!(
        refused_text("(module)"),
        "can't be loaded: it is a core module, not a component: build it with `--target wasm32-wasip2`, or wrap it with \
         `wasm-tools component new`"
    );
    assert_eq!(
        refused(b"\0asm\x0a\0\x01\0"),
        "can't be loaded: it is WebAssembly of a version that this host does not know"
    );
}

#[test]
fn half_a_file_is_refused_wherever_it_ends() {
    let whole = Guest { code: &identity("", "", ""), ..Guest::default() }.build();
    for end in (8..whole.len()).step_by(97) {
        let refused = refused(&whole[..end]);
        assert!(
            refused.starts_with("can't be loaded: it is no valid component:")
                || refused.starts_with("can't be loaded: it is a component of another world:"),
            "{end} of {} bytes: {refused}",
            whole.len()
        );
    }
}

#[test]
fn a_component_of_another_world_or_version_is_named() {
    let exports = |names: &[&str]| {
        let exports = names.iter().map(|name| format!("(export \"{name}\" (instance $i))"));
        refused_text(&format!("(component (instance $i) {})", exports.collect::<String>()))
    };
    assert_eq!(
        exports(&[]),
        "can't be loaded: it is a component of another world: it exports nothing, and a plugin exports \
         `rillgate:plugin/transform@0.1.0` or `rillgate:plugin/aggregate@0.1.0`"
    );
    assert_eq!(
        exports(&["wasi:cli/run@0.2.0", "a:b/c"]),
        "can't be loaded: it is a component of another world: it exports `wasi:cli/run@0.2.0`, `a:b/c`, and a plugin \
         exports `rillgate:plugin/transform@0.1.0` or `rillgate:plugin/aggregate@0.1.0`"
    );
    assert_eq!(
        exports(&["rillgate:plugin/transform@0.2.0"]),
        "can't be loaded: it is built for version 0.2.0 of the plugin interface, and this host speaks 0.1.0: build it \
         again with an SDK of that version"
    );
    assert_eq!(
        exports(&["rillgate:plugin/transform@0.1.0", "rillgate:plugin/aggregate@0.1.0"]),
        "can't be loaded: it exports both `transform` and `aggregate`: a plugin is one of them"
    );
}

#[test]
fn a_transform_without_its_functions_is_refused_when_it_is_opened() {
    let empty = "(component (instance $i) (export \"rillgate:plugin/transform@0.1.0\" (instance $i)))";
    let plugin = load(&wat::parse_str(empty).unwrap()).unwrap();
    assert_eq!(
        words(open(&plugin, &limits()).err().unwrap()),
        "can't be loaded: instance export `rillgate:plugin/transform@0.1.0` does not have export `open`"
    );
}

#[test]
fn an_aggregate_is_loaded_and_not_taken_for_a_transform() {
    let empty = "(component (instance $i) (export \"rillgate:plugin/aggregate@0.1.7\" (instance $i)))";
    let plugin = load(&wat::parse_str(empty).unwrap()).unwrap();
    assert_eq!(plugin.kind, Kind::Aggregate);
    assert_eq!(
        words(open(&plugin, &limits()).err().unwrap()),
        "can't be loaded: it is an aggregate, and is asked for as a transform"
    );
}

#[test]
fn imports_that_are_not_the_hosts_are_named() {
    let imports = |imports: &str| {
        let code = identity("", "", "");
        refused(&Guest { imports, code: &code, ..Guest::default() }.build())
    };
    let offered = "which this host does not have: a plugin can import `rillgate:plugin/log@0.1.0` and what its language's \
                   standard library asks of WASI";
    assert_eq!(
        imports("(import \"my:own/thing@1.0.0\" (instance (export \"f\" (func))))"),
        format!("can't be loaded: it imports `my:own/thing@1.0.0`, {offered}")
    );
    assert_eq!(
        imports("(import \"rillgate:plugin/secrets@0.1.0\" (instance (export \"f\" (func))))"),
        format!("can't be loaded: it imports `rillgate:plugin/secrets@0.1.0`, {offered}")
    );
    assert_eq!(
        imports("(import \"now\" (func (result u64)))"),
        format!("can't be loaded: it imports `now`, {offered}")
    );
    let other_type =
        imports("(import \"wasi:random/random@0.2.0\" (instance (export \"get-random-u64\" (func (result string)))))");
    assert!(
        other_type.starts_with("can't be loaded: its imports can't be met: ") && other_type.contains("get-random-u64"),
        "{other_type}"
    );
}

fn cached(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_plugins_are_kept_and_damaged_ones_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache/plugins");
    let path = file(&folder, &Guest { code: &identity("", "", ""), ..Guest::default() }.build());
    let works = || {
        let engine = Engine::new(Some(cache.clone())).unwrap();
        let mut transform = open(&engine.load(&path).unwrap(), &limits()).unwrap();
        assert_eq!(transform.apply(&batch(9), now()).unwrap().batches, [batch(9)]);
    };
    works();
    let [kept] = cached(&cache).try_into().unwrap();
    let whole = fs::read(&kept).unwrap();
    let written = || fs::metadata(&kept).unwrap().modified().unwrap();
    let first = written();
    works();
    assert_eq!(written(), first);
    for damaged in [&whole[..0], &whole[..whole.len() / 2], &[&whole[..whole.len() - 1], b"x"].concat()] {
        fs::write(&kept, damaged).unwrap();
        works();
        assert_eq!(fs::read(&kept).unwrap(), whole);
    }
    // Code that others could have written is not run, and is written over.
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o666)).unwrap();
    works();
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(cached(&cache), [kept]);
}

#[test]
fn the_cache_is_private_and_must_be_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    Engine::new(Some(cache.clone())).unwrap();
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let no_folder = folder.path().join("file");
    fs::write(&no_folder, "").unwrap();
    let error = Engine::new(Some(no_folder)).err().unwrap().to_string();
    assert!(error.starts_with("can't set up the plugin engine: the cache of compiled plugins, "), "{error}");
}
