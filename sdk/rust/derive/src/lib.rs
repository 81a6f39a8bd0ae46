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
/// ```ignore
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
/// Fields are bool, i32, i64, f32, f64, Date, Timestamp, String, &str, Cow<str>, Vec<u8>, &[u8], or an Option of one.
#[proc_macro_derive(Row, attributes(row))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    expand(input, row::expand)
}

/// Makes an enum the output of a transform with several tables: each variant holds a row for one table.
///
/// ```ignore
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
/// ```ignore
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
#[proc_macro_derive(FromSettings, attributes(setting))]
pub fn derive_from_settings(input: TokenStream) -> TokenStream {
    expand(input, settings::expand)
}

fn expand(input: TokenStream, expand: fn(DeriveInput) -> syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    let expanded = syn::parse(input).and_then(expand);
    expanded.unwrap_or_else(syn::Error::into_compile_error).into()
}
