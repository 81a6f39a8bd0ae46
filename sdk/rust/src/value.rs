//! What a column can hold, as a field of a row sees it: one Rust type, one column type.

use std::borrow::Cow;

use crate::builder::{BitBuilder, ListBuilder, TextBuilder};
use crate::reader::{Bits, Bytes, Text};
use crate::time::{Date, Timestamp};
use crate::wit::{Column, DataType, Values};

/// A type that a column can hold.
#[diagnostic::on_unimplemented(
    message = "a column can't hold `{Self}`",
    label = "no type of a column",
    note = "a field is a bool, i32, i64, f32, f64, Date, Timestamp, String, &str, Cow<str>, Vec<u8> or &[u8], or an Option of one of them"
)]
pub trait Value: Sized {
    /// The column's type.
    const TYPE: DataType;
    /// Collects the values of a column.
    type Builder: Builder;
    /// Appends the value to a column.
    fn append_to(self, builder: &mut Self::Builder);
    /// The column so far; the builder is empty afterwards.
    fn finish(builder: &mut Self::Builder) -> Values;
}

/// Collects the values of a column.
pub trait Builder: Default + 'static {
    /// Makes room for `rows` more values.
    fn reserve(&mut self, rows: usize);
    /// How many rows there are so far.
    fn rows(&self) -> usize;
    /// Appends what stands for a null.
    fn push_placeholder(&mut self);
}

/// A [`Value`] that can be read out of a column which lives for `'a`: text and bytes may borrow from it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read from a column of the input",
    note = "text and bytes are borrowed for the lifetime of the row: `struct Row<'a> {{ id: &'a str }}`"
)]
pub trait ReadValue<'a>: Value {
    /// Looks into a column; the default is one without rows.
    type Reader: Default;
    /// A look into the first `rows` rows of a column; `None` if it holds another type.
    ///
    /// # Panics
    /// If the column has fewer rows or breaks the rules of `table.wit`. The host's never do.
    fn reader(column: &'a Column, rows: usize) -> Option<Self::Reader>;
    /// The value in row `row`; a placeholder where the row is null.
    fn get(reader: &Self::Reader, row: usize) -> Self;
}

/// Types kept as a list of numbers: the type, its column type, how to get from the number to it and back.
macro_rules! number {
    ($($rust:ty, $case:ident, $number:ty, $wrap:expr, $unwrap:expr;)*) => {$(
        impl Value for $rust {
            const TYPE: DataType = DataType::$case;
            type Builder = ListBuilder<$number>;
            #[inline]
            fn append_to(self, builder: &mut Self::Builder) {
                builder.push($unwrap(self));
            }
            fn finish(builder: &mut Self::Builder) -> Values {
                Values::$case(builder.finish())
            }
        }
        impl<'a> ReadValue<'a> for $rust {
            type Reader = &'a [$number];
            fn reader(column: &'a Column, rows: usize) -> Option<Self::Reader> {
                match &column.values {
                    Values::$case(values) => Some(&values[..rows]),
                    _ => None,
                }
            }
            #[inline]
            fn get(reader: &Self::Reader, row: usize) -> Self {
                $wrap(reader[row])
            }
        }
    )*};
}

number! {
    i32, Int32, i32, std::convert::identity, std::convert::identity;
    i64, Int64, i64, std::convert::identity, std::convert::identity;
    f32, Float32, f32, std::convert::identity, std::convert::identity;
    f64, Float64, f64, std::convert::identity, std::convert::identity;
    Date, Date, i32, Date, |date: Date| date.0;
    Timestamp, Timestamp, i64, Timestamp, |timestamp: Timestamp| timestamp.0;
}

impl Value for bool {
    const TYPE: DataType = DataType::Boolean;
    type Builder = BitBuilder;
    #[inline]
    fn append_to(self, builder: &mut BitBuilder) {
        builder.push(self);
    }
    fn finish(builder: &mut BitBuilder) -> Values {
        Values::Boolean(builder.finish())
    }
}

impl<'a> ReadValue<'a> for bool {
    type Reader = Bits<'a>;
    fn reader(column: &'a Column, rows: usize) -> Option<Bits<'a>> {
        match &column.values {
            Values::Boolean(bits) => Some(Bits::new(bits, rows)),
            _ => None,
        }
    }
    #[inline]
    fn get(reader: &Bits<'a>, row: usize) -> bool {
        reader.get(row)
    }
}

/// Types kept as bytes of varying length: the type, its column type and reader, as bytes, from what the reader gives.
macro_rules! varlen {
    ($($any:ty, $borrowed:ty, $case:ident, $reader:ident, $bytes:expr, $own:expr;)*) => {$(
        impl Value for $any {
            const TYPE: DataType = DataType::$case;
            type Builder = TextBuilder;
            #[inline]
            fn append_to(self, builder: &mut TextBuilder) {
                builder.push($bytes(&self));
            }
            fn finish(builder: &mut TextBuilder) -> Values {
                Values::$case(builder.finish())
            }
        }
        impl<'a> ReadValue<'a> for $borrowed {
            type Reader = $reader<'a>;
            fn reader(column: &'a Column, rows: usize) -> Option<Self::Reader> {
                match &column.values {
                    Values::$case(values) => Some($reader::new(values, rows)),
                    _ => None,
                }
            }
            #[inline]
            fn get(reader: &Self::Reader, row: usize) -> Self {
                $own(reader.get(row))
            }
        }
    )*};
}

varlen! {
    &str, &'a str, Utf8, Text, text, std::convert::identity;
    String, String, Utf8, Text, text, String::from;
    Cow<'_, str>, Cow<'a, str>, Utf8, Text, text, Cow::Borrowed;
    &[u8], &'a [u8], Binary, Bytes, bytes, std::convert::identity;
    Vec<u8>, Vec<u8>, Binary, Bytes, bytes, Vec::from;
    Cow<'_, [u8]>, Cow<'a, [u8]>, Binary, Bytes, bytes, Cow::Borrowed;
}

fn text(value: &impl AsRef<str>) -> &[u8] {
    value.as_ref().as_bytes()
}

fn bytes(value: &impl AsRef<[u8]>) -> &[u8] {
    value.as_ref()
}
