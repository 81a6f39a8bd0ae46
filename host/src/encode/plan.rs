//! What a table's options come to, or why they can't be.

use parquet::basic::Compression as Codec;
use parquet::file::properties::WriterProperties;

use super::error::{EncodeError, listed};
use super::options::{Compression, Format, TableOptions};
use super::parquet::codec;
use super::text::{Lines, Stream};
use crate::batch::{COLUMN_TYPES, Schema, type_name};

/// Above it zstd takes some 100 MiB and more for each file.
const MAX_ZSTD_LEVEL: u32 = 19;

const MAX_GZIP_LEVEL: u32 = 9;

/// How new files are written.
pub(super) enum Encoding {
    /// With properties found by a sample of so many rows, once there has been one.
    Parquet {
        codec: Codec,
        judged: Option<Box<(usize, WriterProperties)>>,
    },
    Text(Lines, Stream),
}

/// A table's folder is a path below the store, of directories that readers look into and don't take for partitions.
pub(super) fn check_table(table: &str) -> Result<(), EncodeError> {
    let fault = |what: &str| Err(EncodeError::option("table", format!("the table `{table}` {what}")));
    // Dead letters are a table whose folder is ours.
    let mut directories = table.strip_prefix("_dead/").unwrap_or(table).split('/');
    if directories.clone().any(str::is_empty) {
        return fault("must be a folder's name, like `railway_station/passenger_flow`, without `/` at its ends");
    }
    if directories.clone().any(|directory| directory.starts_with(['.', '_'])) {
        return fault("has a folder that begins with `.` or `_`, which most readers hide: rename it");
    }
    if directories.any(|directory| directory.contains(|c: char| c.is_ascii_control() || "=\\%#?*".contains(c))) {
        return fault(
            "has a folder with one of `= \\ % # ? *` or a control character, which paths can't carry: rename it",
        );
    }
    Ok(())
}

/// The columns are of the types that cross between stages, and each has a name of its own.
pub(super) fn check_columns(schema: &Schema) -> Result<(), EncodeError> {
    let fault = |message: String| Err(EncodeError::option("format", message));
    if schema.fields().is_empty() {
        return fault("the table has no columns, so there is nothing to write".to_owned());
    }
    for (index, field) in schema.fields().iter().enumerate() {
        if type_name(field.data_type()).is_none() {
            let types = listed(COLUMN_TYPES);
            return fault(format!("column `{}` is of type {}: there are {types}", field.name(), field.data_type()));
        }
        if schema.fields()[..index].iter().any(|other| other.name() == field.name()) {
            return fault(format!("there are two columns `{}`: rename one", field.name()));
        }
    }
    Ok(())
}

/// What format, compression and level come to. Fails for levels out of range and for settings that say nothing.
pub(super) fn encoding(options: &TableOptions) -> Result<Encoding, EncodeError> {
    let name = options.format.name();
    let (lines, stream) = match options.format {
        Format::Parquet => {
            let compression = options.compression.unwrap_or_default();
            let level = match compression {
                Compression::Zstd => level(options, MAX_ZSTD_LEVEL)?,
                _ => no_level(options, "`compression = \"zstd\"` has one")?,
            };
            return Ok(Encoding::Parquet { codec: codec(compression, level)?, judged: None });
        }
        Format::Csv => (Lines::Csv, Stream::Plain),
        Format::CsvGz => (Lines::Csv, Stream::Gzip(level(options, MAX_GZIP_LEVEL)?)),
        Format::CsvZst => (Lines::Csv, Stream::Zstd(level(options, MAX_ZSTD_LEVEL)?)),
        Format::Json => (Lines::Json, Stream::Plain),
        Format::JsonGz => (Lines::Json, Stream::Gzip(level(options, MAX_GZIP_LEVEL)?)),
        Format::JsonZst => (Lines::Json, Stream::Zstd(level(options, MAX_ZSTD_LEVEL)?)),
    };
    let plain = name.split('.').next().unwrap_or(name);
    if options.compression.is_some() {
        return Err(EncodeError::option(
            "compression",
            format!(
                "`compression` is for Parquet: of {plain} there are the formats `{plain}`, `{plain}.gz` and `{plain}.zst`"
            ),
        ));
    }
    if stream == Stream::Plain {
        no_level(options, &format!("`{plain}.gz` and `{plain}.zst` have one"))?;
    }
    Ok(Encoding::Text(lines, stream))
}

fn level(options: &TableOptions, highest: u32) -> Result<u32, EncodeError> {
    match options.compression_level.unwrap_or(1) {
        level if (1..=highest).contains(&level) => Ok(level),
        level => {
            Err(EncodeError::option("compression_level", format!("there is no level {level}: write 1 to {highest}")))
        }
    }
}

fn no_level(options: &TableOptions, instead: &str) -> Result<u32, EncodeError> {
    match options.compression_level {
        None => Ok(0),
        Some(_) => Err(EncodeError::option(
            "compression_level",
            format!("nothing is compressed by level here: leave it out ({instead})"),
        )),
    }
}
