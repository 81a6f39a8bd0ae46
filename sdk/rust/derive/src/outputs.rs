//! `#[derive(Outputs)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Type, Variant};

struct Table<'a> {
    variant: &'a Ident,
    row: &'a Type,
    name: String,
}

pub fn expand(input: DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "outputs are an enum: a variant for each table"));
    };
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), "outputs have at least one variant"));
    }
    let mut tables: Vec<Table> = Vec::new();
    for variant in &data.variants {
        let table = table(variant)?;
        if tables.iter().any(|before| before.name == table.name) {
            return Err(Error::new(variant.span(), format!("two variants are the table `{}`", table.name)));
        }
        tables.push(table);
    }

    let ident = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let variants: Vec<&Ident> = tables.iter().map(|table| table.variant).collect();
    let names: Vec<&String> = tables.iter().map(|table| &table.name).collect();
    let rows: Vec<&Type> = tables.iter().map(|table| table.row).collect();
    let index: Vec<syn::Index> = (0..tables.len()).map(syn::Index::from).collect();
    let writer: Vec<TokenStream> = rows
        .iter()
        .map(|row| {
            quote_spanned! {row.span()=>
                ::rillgate_sdk::TableWriter::<<#row as ::rillgate_sdk::ToRow>::Builders>
            }
        })
        .collect();

    Ok(quote! {
        #[automatically_derived]
        impl #generics ::rillgate_sdk::Outputs for #ident #arguments #bounds {
            type Writer = (#(#writer,)*);
            fn tables(_input: &[::rillgate_sdk::wit::Field]) -> ::std::vec::Vec<::rillgate_sdk::wit::OutputTable> {
                ::std::vec![#(#writer::table::<#rows>(#names)),*]
            }
            fn writer() -> Self::Writer {
                (#(#writer::new::<#rows>(),)*)
            }
            fn reserve(_writer: &mut Self::Writer, _rows: usize) {
                // Which of the tables the rows go to is anyone's guess.
            }
            #[inline]
            fn emit(self, _row: usize, writer: &mut Self::Writer) {
                match self {
                    #(Self::#variants(output) => writer.#index.push::<#rows>(output),)*
                }
            }
            fn finish(
                writer: &mut Self::Writer,
                _input: ::rillgate_sdk::wit::Batch,
            ) -> ::std::vec::Vec<::rillgate_sdk::wit::Batch> {
                ::std::vec![#(writer.#index.finish::<#rows>()),*]
            }
        }
    })
}

fn table(variant: &Variant) -> Result<Table<'_>> {
    let mut name = snake_case(&variant.ident.to_string());
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("output")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("a variant has `name = \"...\"`"));
            }
            name = meta.value()?.parse::<LitStr>()?.value();
            Ok(())
        })?;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
        let message = "a table's name is a letter, then letters, digits, `_` and `-`, at most 64; \
                       give it one by #[output(name = \"...\")]";
        return Err(Error::new(variant.span(), message));
    }
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            Ok(Table { variant: &variant.ident, row: &fields.unnamed[0].ty, name })
        }
        _ => {
            let message =
                format!("`{0}` holds one row: `{0}(Row)`, Row being a struct that derives Row", variant.ident);
            Err(Error::new(variant.span(), message))
        }
    }
}

/// `LateFlow` as `late_flow`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, c) in name.char_indices() {
        if c.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
