//! Lines in the host's log, with the names of pipeline and plugin; on standard error where there is no host.
//!
//! ```
//! use rillgate_sdk::prelude::*;
//! log::info!("table of {} stations loaded", 4);
//! ```
//! Lines about single rows belong into rejections: see [`Reject`](crate::Reject).

pub use crate::bindings::rillgate::plugin::log::Level;
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

/// Writes a line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::rillgate::plugin::log::log(level, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a line at level `debug`, given as to [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($message)+))
    };
}

/// Writes a line at level `info`, given as to [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($message)+))
    };
}

/// Writes a line at level `warn`, given as to [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($message)+))
    };
}

/// Writes a line at level `error`, given as to [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($message)+))
    };
}
