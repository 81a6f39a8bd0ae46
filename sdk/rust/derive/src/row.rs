//! `#[derive(Row)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Generics, Ident, Lifetime, LitStr, Result, Type};

/// What a field of a row can be, in words.
const ALLOWED: &str = "a column holds bool, i32, i64, f32, f64, Date, Timestamp, String, &str, Cow<str>, Vec<u8> or &[u8], \
                       or an Option of one of them";

/// Types that people try, and what to use instead.
const INSTEAD: &[(&str, &str)] = &[
    ("i8", "i32"),
    ("i16", "i32"),
    ("i128", "i64, or String"),
    ("isize", "i64"),
    ("u8", "i32"),
    ("u16", "i32"),
    ("u32", "i64"),
    ("u64", "i64"),
    ("u128", "i64, or String"),
    ("usize", "i64"),
    ("char", "String"),
    ("str", "&str"),
    ("SystemTime", "Timestamp"),
    ("Instant", "Timestamp"),
    ("HashMap", "String with its JSON text"),
    ("BTreeMap", "String with its JSON text"),
];

struct Column<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    name: String,
    optional: bool,
}

pub fn expand(input: DeriveInput) -> Result<TokenStream> {
    let columns = columns(&input)?;
    let lifetime = lifetime(&input.generics)?;
    let ident = &input.ident;
    let (_, with_lifetime, _) = input.generics.split_for_impl();

    let specs: Vec<TokenStream> = columns.iter().map(spec).collect();
    let names: Vec<&String> = columns.iter().map(|column| &column.name).collect();
    let idents: Vec<&Ident> = columns.iter().map(|column| column.ident).collect();
    let types: Vec<&Type> = columns.iter().map(|column| column.ty).collect();
    let index: Vec<syn::Index> = (0..columns.len()).map(syn::Index::from).collect();

    // A row that borrows nothing can be read for any lifetime.
    let row = lifetime.cloned().unwrap_or_else(|| Lifetime::new("'row", ident.span()));
    let read: Vec<TokenStream> =
        types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::rillgate_sdk::ReadField<#row>>)).collect();
    let value: Vec<TokenStream> =
        types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::rillgate_sdk::FieldValue>)).collect();
    let generics = lifetime.map(|lifetime| quote!(<#lifetime>));

    Ok(quote! {
        #[automatically_derived]
        impl<#row> ::rillgate_sdk::FromRow<#row> for #ident #with_lifetime {
            const COLUMNS: &'static [::rillgate_sdk::FieldSpec] = &[#(#specs),*];
            type Readers = (#(#read::Reader,)*);
            fn readers(
                input: &#row ::rillgate_sdk::wit::Batch,
                places: &::rillgate_sdk::Places,
            ) -> ::core::result::Result<Self::Readers, ::rillgate_sdk::wit::Error> {
                ::core::result::Result::Ok((#(places.reader::<#types>(input, #index)?,)*))
            }
            #[inline]
            fn read(
                readers: &Self::Readers,
                row: usize,
            ) -> ::core::result::Result<Self, ::rillgate_sdk::Reject> {
                ::core::result::Result::Ok(Self {
                    #(#idents: match #read::read(&readers.#index, row) {
                        ::core::option::Option::Some(value) => value,
                        ::core::option::Option::None => {
                            return ::core::result::Result::Err(::rillgate_sdk::Reject::null(#names))
                        }
                    },)*
                })
            }
        }

        #[automatically_derived]
        impl #generics ::rillgate_sdk::ToRow for #ident #with_lifetime {
            const COLUMNS: &'static [::rillgate_sdk::FieldSpec] = &[#(#specs),*];
            type Builders = (#(::rillgate_sdk::builder::Cells<
                <#value::Value as ::rillgate_sdk::Value>::Builder
            >,)*);
            fn builders() -> Self::Builders {
                (#(<::rillgate_sdk::builder::Cells<
                    <#value::Value as ::rillgate_sdk::Value>::Builder
                > as ::core::default::Default>::default(),)*)
            }
            fn reserve(builders: &mut Self::Builders, rows: usize) {
                #(builders.#index.reserve(rows);)*
            }
            #[inline]
            fn push(self, builders: &mut Self::Builders) {
                #(#value::append_to_cells(self.#idents, &mut builders.#index);)*
            }
            fn finish(builders: &mut Self::Builders) -> ::std::vec::Vec<::rillgate_sdk::wit::Column> {
                ::std::vec![#(builders.#index.finish::<#value::Value>()),*]
            }
        }
    })
}

fn spec(column: &Column) -> TokenStream {
    let Column { ty, name, optional, .. } = column;
    quote_spanned! {ty.span()=>
        ::rillgate_sdk::FieldSpec {
            name: #name,
            data_type: <<#ty as ::rillgate_sdk::FieldValue>::Value as ::rillgate_sdk::Value>::TYPE,
            nullable: <#ty as ::rillgate_sdk::FieldValue>::NULLABLE,
            optional: #optional,
        }
    }
}

/// The one lifetime that a row may have.
fn lifetime(generics: &Generics) -> Result<Option<&Lifetime>> {
    if let Some(parameter) = generics.type_params().next() {
        return Err(Error::new(parameter.span(), "a row has no type parameters: its columns are fixed"));
    }
    if let Some(parameter) = generics.const_params().next() {
        return Err(Error::new(parameter.span(), "a row has no const parameters: its columns are fixed"));
    }
    let mut lifetimes = generics.lifetimes();
    let first = lifetimes.next();
    match lifetimes.next() {
        Some(second) => Err(Error::new(second.span(), "a row has one lifetime: all of it is borrowed from one batch")),
        None => Ok(first.map(|parameter| &parameter.lifetime)),
    }
}

fn columns(input: &DeriveInput) -> Result<Vec<Column<'_>>> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "a row is a struct; for an enum of rows derive Outputs"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(
            input.ident.span(),
            "a row is a struct with named fields: their names are the columns'",
        ));
    };
    if fields.named.is_empty() {
        return Err(Error::new(input.ident.span(), "a row has at least one field"));
    }
    let mut columns: Vec<Column> = Vec::new();
    for field in &fields.named {
        let column = column(field)?;
        if columns.iter().any(|before| before.name == column.name) {
            return Err(Error::new(field.span(), format!("two fields are the column `{}`", column.name)));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn column(field: &Field) -> Result<Column<'_>> {
    let Some(ident) = &field.ident else { return Err(Error::new(field.span(), "a row's fields have names")) };
    let mut name = ident.unraw().to_string();
    let mut optional = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("optional") {
                optional = true;
            } else {
                return Err(meta.error("a field has `name = \"...\"` and `optional`"));
            }
            Ok(())
        })?;
    }
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::new(field.span(), "a column's name has 1 to 255 bytes, without control characters"));
    }
    if optional && last_segment(&field.ty).is_none_or(|last| last != "Option") {
        return Err(Error::new(field.ty.span(), format!("field `{ident}`: what is optional must be an Option")));
    }
    check(ident, &field.ty)?;
    Ok(Column { ident, ty: &field.ty, name, optional })
}

/// Refuses types that are surely wrong, in better words than the compiler has; the rest is left to it.
fn check(ident: &Ident, ty: &Type) -> Result<()> {
    let inner = option_of(ty).unwrap_or(ty);
    let refuse = |hint: &str| Err(Error::new(inner.span(), format!("field `{ident}`: {hint}; {ALLOWED}")));
    match inner {
        Type::Tuple(_) => refuse("a tuple is no column, make it a field for each part"),
        Type::Array(_) => refuse("an array is no column, use Vec<u8> for bytes"),
        Type::Reference(reference)
            if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") =>
        {
            refuse(
                "a row borrows for a lifetime of its own, `struct Row<'a> { text: &'a str }`; literals fit there too",
            )
        }
        Type::Reference(reference) if reference.mutability.is_some() => {
            refuse("a column can't be changed, use & without mut")
        }
        Type::Path(_) => {
            let Some(last) = last_segment(inner) else { return Ok(()) };
            match INSTEAD.iter().find(|(wrong, _)| last == wrong) {
                Some((wrong, right)) => refuse(&format!("a column can't hold `{wrong}`, use {right}")),
                None if last == "Option" => refuse("a value is there or not, use one Option"),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// `T` of `Option<T>`.
pub fn option_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(inner)) => Some(inner),
        _ => None,
    }
}

fn last_segment(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|last| &last.ident),
        _ => None,
    }
}
