//! From a transform to a component: [`transform!`](crate::transform!) and what stands behind it.

use std::any::Any;
use std::cell::RefCell;

use crate::settings::Settings;
use crate::wit::{Batch, Error, Field, Output, OutputTable};

/// A plugin as `transform!` defines it. To run it natively, see [`test`](crate::test).
#[derive(Clone, Copy)]
pub struct Plugin {
    #[doc(hidden)]
    pub open: fn(&[Field], &mut Settings) -> Result<Opened, Error>,
}

/// A plugin that has been told its input and its settings, ready for batches.
pub struct Opened {
    pub(crate) state: Box<dyn Any>,
    pub(crate) tables: Vec<OutputTable>,
    pub(crate) apply: fn(&mut dyn Any, Batch) -> Result<Output, Error>,
}

impl Plugin {
    /// What the host's `open` does: parses the settings, finds the columns, says what will come out.
    pub fn open(&self, input: &[Field], settings: Vec<(String, String)>) -> Result<Opened, Error> {
        let mut settings = Settings::new(settings);
        let opened = (self.open)(input, &mut settings)?;
        settings.finish()?;
        Ok(opened)
    }
}

impl Opened {
    /// The tables that will come out.
    pub fn tables(&self) -> &[OutputTable] {
        &self.tables
    }

    /// What the host's `apply` does.
    pub fn apply(&mut self, input: Batch) -> Result<Output, Error> {
        (self.apply)(&mut *self.state, input)
    }
}

thread_local! {
    /// The one opened plugin of this component instance.
    static INSTANCE: RefCell<Option<Opened>> = const { RefCell::new(None) };
}

/// The component's `open`.
#[doc(hidden)]
pub fn open(plugin: &Plugin, input: &[Field], settings: Vec<(String, String)>) -> Result<Vec<OutputTable>, Error> {
    let opened = plugin.open(input, settings)?;
    let tables = opened.tables.clone();
    INSTANCE.set(Some(opened));
    Ok(tables)
}

/// The component's `apply`.
#[doc(hidden)]
pub fn apply(input: Batch) -> Result<Output, Error> {
    INSTANCE.with_borrow_mut(|instance| match instance {
        Some(opened) => opened.apply(input),
        None => Err(Error::Other("`apply` was called before `open`".to_owned())),
    })
}

/// Makes a plugin of a transform: defines `PLUGIN` for tests and exports it from the component.
///
/// ```text
/// rillgate_sdk::transform!(to_minutes);               // a function over rows
/// rillgate_sdk::transform!(impl Totals);              // a type that implements `BatchTransform`
/// rillgate_sdk::transform!(match topic {              // one plugin for several topics, chosen by the setting `topic`
///     "arrivals" => arrivals,
///     "departures" => departures,
/// });
/// ```
#[macro_export]
macro_rules! transform {
    ($($transform:tt)+) => {
        /// This plugin, to be run natively by `rillgate_sdk::test`.
        pub const PLUGIN: $crate::Plugin = $crate::Plugin { open: $crate::__open!($($transform)+) };

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;
            impl $crate::bindings::exports::rillgate::plugin::transform::Guest for Component {
                fn open(
                    input: ::std::vec::Vec<$crate::wit::Field>,
                    settings: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                ) -> ::core::result::Result<::std::vec::Vec<$crate::wit::OutputTable>, $crate::wit::Error> {
                    $crate::plugin::open(&PLUGIN, &input, settings)
                }
                fn apply(input: $crate::wit::Batch) -> ::core::result::Result<$crate::wit::Output, $crate::wit::Error> {
                    $crate::plugin::apply(input)
                }
            }
            $crate::bindings::export_transform!(Component with_types_in $crate::bindings);
        };
    };
}

/// The function that opens a transform. Its closures capture nothing: a lifetime that a row borrows for can be named
/// only where the transform's own type is known.
#[doc(hidden)]
#[macro_export]
macro_rules! __open {
    (match $setting:ident { $($name:literal => $transform:expr),+ $(,)? }) => {
        |input, settings| {
            let choices: &[(&str, fn(&[$crate::wit::Field], &mut $crate::Settings) -> _)] =
                &[$(($name, $crate::__open!($transform))),+];
            let names: ::std::vec::Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            choices[settings.choice(::core::stringify!($setting), &names)?].1(input, settings)
        }
    };
    (impl $transform:ty) => {
        $crate::columns::open::<$transform>
    };
    ($transform:expr) => {
        |input, settings| {
            $crate::function::open($transform, input, settings, |state, input| {
                let rejected = $crate::function::rows($transform, state, &input)?;
                $crate::function::finish($transform, state, input, rejected)
            })
        }
    };
}
