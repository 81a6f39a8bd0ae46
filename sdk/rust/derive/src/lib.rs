//! Derives of `rillgate-sdk`: `Row`, `Outputs` and `FromSettings`. Documented there.
//!
//! A file for each; each turns a `syn::DeriveInput` into tokens or an error that names the field and says what to write instead.

mod outputs;
mod row;
mod settings;

use proc_macro::TokenStream;
use syn::DeriveInput;

/// Makes a struct a row: each field is a column.
///
/// ```text
/// #[derive(Row)]
/// struct Flow<'a> {
///     id: &'a str,                          // a null in `id` rejects the row
///     station: Option<&'a str>,
///     #[row(name = "reduced_flow_factor")]  // the column's name, if it isn't the field's
///     factor: Option<f64>,
///     #[row(optional)]                      // the input may lack the column: `None` then
///     time: Option<Timestamp>,
/// }
/// ```
/// Fields are `bool`, `i32`, `i64`, `f32`, `f64`, `Date`, `Timestamp`, `String`, `&str`, `Cow<str>`, `Vec<u8>`, `&[u8]`, or an
/// `Option` of one.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    expand(input, row::expand)
}

/// Makes an enum the output of a transform with several tables: each variant holds a row for one table.
///
/// ```text
/// #[derive(Outputs)]
/// enum Out<'a> {
///     Main(Flow<'a>),                 // table `main`
///     LateFlow(Flow<'a>),             // table `late_flow`
///     #[output(name = "odd")]         // table `odd`
///     Other(Odd<'a>),
/// }
/// ```
#[proc_macro_derive(Outputs, attributes(output))]
pub fn derive_outputs(input: TokenStream) -> TokenStream {
    expand(input, outputs::expand)
}

/// Makes a struct of a plugin's settings: one for each field, by `FromStr`.
///
/// ```text
/// #[derive(FromSettings)]
/// struct Settings {
///     station: String,                // required
///     limit: Option<i64>,             // may be left out
///     #[setting(default = 0.5)]       // `default` alone: the type's own default
///     share: f64,
///     #[setting(name = "time-zone")]  // the setting's name, if it isn't the field's
///     zone: String,
/// }
/// ```
/// A struct without fields, `struct Count;`, takes no settings.
#[proc_macro_derive(FromSettings, attributes(setting))]
pub fn derive_from_settings(input: TokenStream) -> TokenStream {
    expand(input, settings::expand)
}

fn expand(input: TokenStream, expand: fn(DeriveInput) -> syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    let expanded = syn::parse(input).and_then(expand);
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use syn::{DeriveInput, Result};

    use crate::{outputs, row, settings};

    type Expand = fn(DeriveInput) -> Result<TokenStream>;

    /// The error that `source` is answered with.
    fn error(expand: Expand, source: &str) -> String {
        match syn::parse_str(source).and_then(expand) {
            Ok(_) => panic!("no error for {source}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_no_row_is_told_what_a_row_is() {
        let cases = [
            ("enum E { A }", "a row is a struct; for an enum of rows derive Outputs"),
            ("struct S(i64);", "named fields"),
            ("struct S {}", "at least one field"),
            ("struct S<T> { a: T }", "no type parameters"),
            ("struct S<const N: usize> { a: i64 }", "no const parameters"),
            ("struct S<'a, 'b> { a: &'a str, b: &'b str }", "one lifetime"),
            ("struct S { #[row(name = \"b\")] a: i64, b: i64 }", "two fields are the column `b`"),
            ("struct S { #[row(name = \"\")] a: i64 }", "1 to 255 bytes"),
            ("struct S { #[row(rename = \"b\")] a: i64 }", "`name = \"...\"` and `optional`"),
            ("struct S { #[row(optional)] a: i64 }", "field `a`: what is optional must be an Option"),
        ];
        for (source, expected) in cases {
            let error = error(row::expand, source);
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn what_is_no_column_is_named_with_what_to_use_instead() {
        let cases = [
            ("u32", "field `count`: a column can't hold `u32`, use i64;"),
            ("Option<u64>", "field `count`: a column can't hold `u64`, use i64;"),
            ("std::time::SystemTime", "field `count`: a column can't hold `SystemTime`, use Timestamp;"),
            ("(f64, f64)", "field `count`: a tuple is no column, make it a field for each part;"),
            ("[u8; 4]", "field `count`: an array is no column, use Vec<u8> for bytes;"),
            ("Option<Option<i64>>", "field `count`: a value is there or not, use one Option;"),
            (
                "&'static str",
                "field `count`: a row borrows for a lifetime of its own, `struct Row<'a> { text: &'a str }`;",
            ),
            ("&'a mut str", "field `count`: a column can't be changed, use & without mut;"),
        ];
        for (wrong, expected) in cases {
            let error = error(row::expand, &format!("struct S<'a> {{ id: &'a str, count: {wrong} }}"));
            assert!(error.starts_with(expected) && error.contains("bool, i32, i64"), "{wrong}: {error}");
        }
    }

    #[test]
    fn outputs_and_settings() {
        let cases: [(Expand, &str, &str); 9] = [
            (outputs::expand, "struct S { a: i64 }", "outputs are an enum"),
            (outputs::expand, "enum E {}", "at least one variant"),
            (outputs::expand, "enum E { A, B(Row) }", "`A` holds one row: `A(Row)`"),
            (outputs::expand, "enum E { A(Row), #[output(name = \"a\")] B(Row) }", "two variants are the table `a`"),
            (outputs::expand, "enum E { #[output(name = \"a b\")] A(Row) }", "a table's name is a letter"),
            (settings::expand, "enum E { A }", "settings are a struct"),
            (settings::expand, "struct S(i64);", "named fields, or one without any"),
            (settings::expand, "struct S<'a> { a: &'a str }", "settings live as long as the plugin"),
            (settings::expand, "struct S { #[setting(default)] a: Option<i64> }", "field `a`: an Option is None"),
        ];
        for (expand, source, expected) in cases {
            let error = error(expand, source);
            assert!(error.contains(expected), "{source}: {error}");
        }
    }
}
