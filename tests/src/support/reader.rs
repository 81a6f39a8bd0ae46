//! Tables as other tools read them: DuckDB and pyarrow, in a Python that is asked line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::servers::{clone, servers};
use super::store::Place;

/// A reader of one table; its view is called `t`. Sees the files that are there when it is opened.
#[derive(Debug)]
pub struct Reader {
    python: Python,
    /// The table's files, for a place that DuckDB can't list itself.
    _copy: Option<TempDir>,
}

impl Reader {
    /// Opens the table in `folder` of a place; its files end in `extension` (`parquet`, `csv.gz`, `jsonl.zst` ...).
    pub fn open(place: &Place, folder: &str, extension: &str) -> Self {
        let copy = match place {
            Place::Local(_) => None,
            Place::S3 { .. } => Some(download(place, folder)),
        };
        let root: PathBuf = match (place, &copy) {
            (Place::Local(root), _) => root.path().to_path_buf(),
            (Place::S3 { .. }, Some(copy)) => copy.path().to_path_buf(),
            (Place::S3 { .. }, None) => unreachable!("downloaded above"),
        };
        let mut python = Python::start();
        let glob = root.join(folder).join(format!("**/*.{extension}"));
        let format = extension.split('.').next();
        python.ask(&json!({"view": "t", "glob": glob, "format": format}));
        Self { python, _copy: copy }
    }

    /// DuckDB without a table.
    pub fn idle() -> Self {
        Self { python: Python::start(), _copy: None }
    }

    /// The rows of a query over `t`. Values that JSON has no type for come as text.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<Value>> {
        let answer = self.python.ask(&json!({ "sql": sql }));
        serde_json::from_value(answer["rows"].clone()).unwrap()
    }

    /// The one row of a query that has one.
    #[track_caller]
    pub fn row(&mut self, sql: &str) -> Vec<Value> {
        let mut rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "rows of {sql}");
        rows.remove(0)
    }

    /// The one number of a query that has one.
    #[track_caller]
    pub fn count(&mut self, sql: &str) -> u64 {
        self.row(sql)[0].as_u64().unwrap()
    }

    /// Names and types of the columns, as DuckDB has them, the partitions' too; without its own `filename`.
    pub fn columns(&mut self) -> Vec<(String, String)> {
        let rows = self.rows("select column_name, column_type from (describe t)");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(&row[0]), text(&row[1]))).filter(|(name, _)| name != "filename").collect()
    }
}

/// Copies the files of a table to a folder, under their names.
fn download(place: &Place, folder: &str) -> TempDir {
    let copy = tempfile::Builder::new().prefix("rillgate-copy-").tempdir().unwrap();
    for path in place.list(folder).keys() {
        let to = copy.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, place.read(path).unwrap_or_else(|| panic!("{path} was listed and is gone"))).unwrap();
    }
    copy
}

/// Ids across files that are looked at one by one: finds doubles as soon as the second file is there.
#[derive(Debug)]
pub struct Ids {
    python: Python,
}

/// What one more file has added.
#[derive(Debug, PartialEq, Eq)]
pub struct Added {
    /// Its rows.
    pub rows: u64,
    /// Ids that were in it, or in a file before it, already; ten at most.
    pub doubles: Vec<String>,
}

impl Default for Ids {
    /// Begins with no file.
    fn default() -> Self {
        Self { python: Python::start() }
    }
}

impl Ids {
    /// Looks at column `column` of one more Parquet file, which messages call `name`.
    pub fn add(&mut self, file: &Path, column: &str, name: &str) -> Added {
        self.add_rows(file, &[column], &[], name).0
    }

    /// The same with ids of several columns. Where values are asked for it says the rows, too: the columns of their ids, then the
    /// values. Times are numbers, in the file's unit.
    pub fn add_rows(&mut self, file: &Path, ids: &[&str], values: &[&str], name: &str) -> (Added, Vec<Vec<Value>>) {
        let answer = self.python.ask(&json!({ "ids": file, "columns": ids, "values": values, "as": name }));
        let doubles = answer["doubles"].as_array().unwrap().iter().map(Value::to_string).collect();
        let found: Vec<Vec<Value>> = serde_json::from_value(answer["found"].clone()).unwrap();
        (Added { rows: answer["rows"].as_u64().unwrap(), doubles }, found)
    }
}

/// A Python that runs `reader.py`.
#[derive(Debug)]
struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start() -> Self {
        let script = clone().join("tests/src/support/reader.py");
        let mut command = Command::new(&servers().python);
        let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let requests = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, requests, answers }
    }

    #[track_caller]
    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{request}: the reader died"));
        assert!(answer.get("error").is_none(), "{request}: {}", answer["error"]);
        answer
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Fails when it has died already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
