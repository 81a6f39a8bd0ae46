//! `#[derive(FromSettings)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Field, Fields, LitStr, Result};

use crate::row::option_of;

pub fn expand(input: DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "settings are a struct: a field for each setting"));
    };
    let fields: Vec<&Field> = match &data.fields {
        Fields::Named(fields) => fields.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => {
            return Err(Error::new(input.ident.span(), "settings are a struct with named fields, or one without any"));
        }
    };
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(parameter.span(), "settings live as long as the plugin: no parameters"));
    }
    let ident = &input.ident;
    let fields = fields.into_iter().map(setting).collect::<Result<Vec<_>>>()?;
    Ok(quote! {
        #[automatically_derived]
        impl ::rillgate_sdk::FromSettings for #ident {
            fn from_settings(
                settings: &mut ::rillgate_sdk::Settings,
            ) -> ::core::result::Result<Self, ::rillgate_sdk::wit::Error> {
                ::core::result::Result::Ok(Self { #(#fields,)* })
            }
        }
    })
}

fn setting(field: &Field) -> Result<TokenStream> {
    let Some(ident) = &field.ident else { return Err(Error::new(field.span(), "a setting's field has a name")) };
    let mut name = ident.unraw().to_string();
    let mut default = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("setting")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("default") && meta.input.peek(syn::Token![=]) {
                let value: Expr = meta.value()?.parse()?;
                default = Some(quote!(#value));
            } else if meta.path.is_ident("default") {
                default = Some(quote!(::core::default::Default::default()));
            } else {
                return Err(meta.error("a setting has `name = \"...\"`, `default` and `default = ...`"));
            }
            Ok(())
        })?;
    }
    let ty = &field.ty;
    Ok(match (option_of(ty), default) {
        (Some(_), Some(_)) => {
            let message =
                format!("field `{ident}`: an Option is None where the setting is left out; it has no default");
            return Err(Error::new(field.span(), message));
        }
        (Some(inner), None) => quote!(#ident: settings.optional::<#inner>(#name)?),
        (None, Some(default)) => quote! {
            #ident: match settings.optional::<#ty>(#name)? {
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => #default,
            }
        },
        (None, None) => quote!(#ident: settings.required::<#ty>(#name)?),
    })
}
