//! Write rillgate plugins in Rust: rows in, rows out.
//!
//! A transform is a function:
//!
//! ```
//! use rillgate_sdk::prelude::*;
//!
//! #[derive(Row)]
//! struct Flow<'a> {
//!     id: &'a str,
//!     station: Option<&'a str>,
//!     waiting_time: Option<f64>,
//! }
//!
//! #[derive(Row, Debug, PartialEq)]
//! struct Waiting<'a> {
//!     id: &'a str,
//!     station: &'a str,
//!     minutes: f64,
//! }
//!
//! /// Drops what has no station, rejects what can't be.
//! fn waiting(flow: Flow<'_>) -> Result<Option<Waiting<'_>>, Reject> {
//!     let (Some(station), Some(minutes)) = (flow.station, flow.waiting_time) else { return Ok(None) };
//!     if minutes < 0.0 {
//!         reject!("waiting_time {minutes} is negative");
//!     }
//!     Ok(Some(Waiting { id: flow.id, station, minutes }))
//! }
//!
//! rillgate_sdk::transform!(waiting);
//!
//! # fn main() {
//! use rillgate_sdk::test::{Input, Test};
//! let flows = [
//!     Flow { id: "a", station: Some("Station A"), waiting_time: Some(2.5) },
//!     Flow { id: "b", station: None, waiting_time: Some(1.0) },
//!     Flow { id: "c", station: Some("Station C"), waiting_time: Some(-1.0) },
//! ];
//! let tested = Test::new(PLUGIN).run(Input::rows(flows));
//! assert_eq!(tested.rows::<Waiting>(), [Waiting { id: "a", station: "Station A", minutes: 2.5 }]);
//! assert_eq!(tested.rejected(), [(2, "waiting_time -1 is negative")]);
//! # }
//! ```
//!
//! An aggregate folds rows into a state for each group of them, for windows and running counts: see [`Aggregate`].
//!
//! The [README](https://github.com/rillgate/rillgate/tree/main/sdk/rust) goes from an empty folder to a running plugin.
//!
//! Nothing here keeps anything between batches, and nothing allocates per row but what a plugin asks for.

// The derives name this crate by its name, also in its own tests.
extern crate self as rillgate_sdk;

mod aggregate;
#[doc(hidden)]
pub mod builder;
mod check;
pub mod columns;
mod filter;
#[doc(hidden)]
pub mod folding;
#[doc(hidden)]
pub mod function;
pub mod log;
mod outputs;
#[doc(hidden)]
pub mod plugin;
mod reader;
mod reject;
#[doc(hidden)]
pub mod row;
mod settings;
pub mod test;
mod time;
mod value;
pub mod wit;

pub use aggregate::{Aggregate, Migrate, Rows, State};
pub use columns::{BatchTransform, ColumnBuilder, ColumnOf};
pub use filter::Kept;
pub use folding::{AggregatePlugin, OpenedAggregate};
pub use function::Function;
pub use outputs::{Answer, MAIN, Many, Outputs};
pub use plugin::{Opened, Plugin};
pub use reader::{Bits, Bytes, Text};
pub use reject::Reject;
pub use rillgate_sdk_derive::{FromSettings, Outputs, Row};
pub use row::{FieldSpec, FromRow, Places, ToRow};
pub use settings::{FromSettings, Settings};
pub use time::{Date, ParseTimeError, Timestamp};
pub use value::{Builder, ReadValue, Value};

#[doc(hidden)]
pub use outputs::TableWriter;
#[doc(hidden)]
pub use row::{FieldValue, ReadField};

/// What a plugin needs: `use rillgate_sdk::prelude::*;`
pub mod prelude {
    pub use crate::{Aggregate, Date, FromSettings, Many, Migrate, Outputs, Reject, Row, Timestamp, log, reject};
}

/// What `wit-bindgen` makes of `wit/`. Only the macros name it; [`wit`] is what people use.
#[doc(hidden)]
#[allow(missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "transform-plugin",
        pub_export_macro: true,
        default_bindings_module: "rillgate_sdk::bindings",
        export_macro_name: "export_transform",
        additional_derives: [PartialEq],
    });
}

/// The same of the world of aggregates, with the types of `bindings`.
#[doc(hidden)]
#[allow(missing_docs, clippy::all)]
pub mod aggregate_bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "aggregate-plugin",
        with: {
            "rillgate:plugin/table@0.1.0": crate::bindings::rillgate::plugin::table,
            "rillgate:plugin/common@0.1.0": crate::bindings::rillgate::plugin::common,
            "rillgate:plugin/log@0.1.0": crate::bindings::rillgate::plugin::log,
        },
        pub_export_macro: true,
        default_bindings_module: "rillgate_sdk::aggregate_bindings",
        export_macro_name: "export_aggregate",
        additional_derives: [PartialEq],
    });
}

/// The same of what an aggregate exports beside, if it migrates states.
#[doc(hidden)]
#[allow(missing_docs, clippy::all)]
pub mod migration_bindings {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package rillgate:sdk;
            world migration {
                export rillgate:plugin/state-migration@0.1.0;
            }
        ",
        world: "rillgate:sdk/migration",
        with: {
            "rillgate:plugin/table@0.1.0": crate::bindings::rillgate::plugin::table,
            "rillgate:plugin/common@0.1.0": crate::bindings::rillgate::plugin::common,
        },
        pub_export_macro: true,
        default_bindings_module: "rillgate_sdk::migration_bindings",
        export_macro_name: "export_migration",
        additional_derives: [PartialEq],
    });
}
