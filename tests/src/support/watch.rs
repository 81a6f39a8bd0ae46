//! A reader that lists a table all the time while things happen to its writers, and never may see anything wrong.
//!
//! Each listing, read whole, must hold no id twice. Files that were looked at are not read again: instead no file may ever
//! change or go, so a listing holds a double exactly when a new file repeats an id of the files before it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::reader::Ids;
use super::store::Place;

/// Looks at a row, and says what is wrong with it.
type Check = Box<dyn FnMut(&[Value]) -> Option<String> + Send>;

/// Looks at one table until it is told to finish.
#[derive(Debug)]
pub struct Watch {
    /// Dropped to end it.
    stop: Sender<()>,
    so_far: Arc<Mutex<(u64, Vec<String>)>>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often the table was listed.
    pub listings: u64,
    /// Files in the last listing.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Everything that was wrong.
    pub problems: Vec<String>,
}

impl Watch {
    /// Looks at the Parquet files of `folder`, whose column `id` says which record a row is.
    pub fn start(place: &Place, folder: &str, id: &'static str) -> Self {
        Self::start_checking(place, folder, &[id], &[], Box::new(|_| None))
    }

    /// The same where several columns say which row it is; `check` is given each row, once: those columns, and then these values.
    pub fn start_checking(
        place: &Place,
        folder: &str,
        ids: &[&'static str],
        values: &'static [&'static str],
        check: Check,
    ) -> Self {
        let (id, place, folder) = (ids.to_vec(), place.clone(), folder.to_owned());
        let (stop, stopped) = mpsc::channel::<()>();
        let so_far: Arc<Mutex<(u64, Vec<String>)>> = Arc::default();
        let known = Arc::clone(&so_far);
        let thread = std::thread::spawn(move || {
            let (ids, files, seen) = (Ids::default(), BTreeMap::new(), Seen::default());
            let mut table = Table { place, folder, id, values, check, ids, files, seen };
            // The pace leaves the writers some of the machine.
            while stopped.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                table.look();
                *known.lock().unwrap() = (table.seen.rows, table.files.keys().cloned().collect());
            }
            table.look();
            table.seen
        });
        Self { stop, so_far, thread }
    }

    /// Rows seen so far.
    pub fn rows(&self) -> u64 {
        self.so_far.lock().unwrap().0
    }

    /// Files seen so far, by their paths.
    pub fn files(&self) -> Vec<String> {
        self.so_far.lock().unwrap().1.clone()
    }

    /// Looks once more and ends; whatever was wrong is in the answer.
    pub fn end(self) -> Seen {
        drop(self.stop);
        self.thread.join().unwrap()
    }

    /// Looks once more and ends; panics if anything was wrong at any time.
    pub fn finish(self) -> Seen {
        let seen = self.end();
        assert!(seen.problems.is_empty(), "seen by a reader:\n{}", seen.problems.join("\n"));
        seen
    }
}

struct Table {
    place: Place,
    folder: String,
    id: Vec<&'static str>,
    values: &'static [&'static str],
    check: Check,
    ids: Ids,
    /// Path -> size of what has been looked at.
    files: BTreeMap<String, u64>,
    seen: Seen,
}

impl Table {
    fn look(&mut self) {
        let listing = self.place.list(&self.folder);
        self.seen.listings += 1;
        for (path, size) in &self.files {
            match listing.get(path) {
                None => self.seen.problems.push(format!("{path} was there and is gone")),
                Some(now) if now != size => self.seen.problems.push(format!("{path} had {size} bytes and has {now}")),
                Some(_) => {}
            }
        }
        // What has gone or changed has been said once.
        self.files.retain(|path, _| listing.contains_key(path));
        for (path, size) in listing {
            if self.files.insert(path.clone(), size).is_none() {
                self.read(&path, size);
            }
        }
        self.seen.files = self.files.len();
    }

    fn read(&mut self, path: &str, size: u64) {
        if let Err(problem) = data_file_name(path) {
            self.seen.problems.push(problem);
            return;
        }
        let Some(bytes) = self.place.read(path) else {
            self.seen.problems.push(format!("{path} was listed and could not be read"));
            return;
        };
        if bytes.len() as u64 != size {
            self.seen.problems.push(format!("{path} was listed with {size} bytes and has {}", bytes.len()));
            return;
        }
        let copy = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
        std::fs::write(copy.path(), bytes).unwrap();
        let (added, rows) = self.ids.add_rows(copy.path(), &self.id, self.values, path);
        self.seen.rows += added.rows;
        self.seen.problems.extend(added.doubles.iter().map(|double| format!("an id twice: {double}")));
        self.seen.problems.extend(rows.iter().filter_map(|row| Some(format!("{path}: {}", (self.check)(row)?))));
    }
}

/// What a data file's name says: `<topic>-<partition>-<start offset>-<n>.<extension>`.
#[derive(Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The topic its records came from.
    pub topic: String,
    /// Their partition.
    pub partition: i32,
    /// The first offset of the epoch.
    pub start: i64,
    /// Number of the file in its epoch.
    pub number: u32,
    /// Without the dot before it.
    pub extension: String,
}

/// Reads the name of a data file by its path; the error says what is wrong with it.
pub fn data_file_name(path: &str) -> Result<DataFile, String> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parse = || {
        let mut parts = name.rsplitn(4, '-');
        let (number, extension) = parts.next()?.split_once('.')?;
        let (number, extension) = (number.parse().ok()?, extension.to_owned());
        let start = parts.next()?.parse().ok()?;
        let partition = parts.next()?.parse().ok()?;
        let topic = parts.next().filter(|topic| !topic.starts_with(['_', '.']))?.to_owned();
        Some(DataFile { topic, partition, start, number, extension })
    };
    parse().ok_or_else(|| format!("{path} is no data file, and lies in a table's folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_data_files_are_read_and_others_are_not() {
        let file = data_file_name("t/date=2026-01-01/my-topic.v1-12-000345-6.csv.gz").unwrap();
        let (topic, extension) = ("my-topic.v1".to_owned(), "csv.gz".to_owned());
        assert_eq!(file, DataFile { topic, partition: 12, start: 345, number: 6, extension });
        for other in [
            "t/_SUCCESS",
            "t/_x-1-2-3.parquet",
            "t/.x-1-2-3.parquet",
            "t/x-1-2.parquet",
            "t/x-1-2-3",
            "t/x-1-a-3.parquet",
        ] {
            assert!(data_file_name(other).is_err(), "{other}");
        }
    }
}
