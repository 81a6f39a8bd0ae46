//! Rows that can't be processed.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Why a row can't be processed. The host keeps its record, byte for byte, with this reason as a dead letter.
///
/// Any error becomes one by `?`, with its text as the reason; [`reject!`](crate::reject!) makes one and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    reason: Cow<'static, str>,
}

impl Reject {
    /// A rejection for this reason, in words for whoever looks at the dead letters.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// A column has no value where the plugin needs one.
    #[cold]
    pub fn null(column: &str) -> Self {
        Self::new(format!("column `{column}` is null"))
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn into_reason(self) -> String {
        self.reason.into_owned()
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

// As a consequence `Reject` itself never implements `Error`: this would overlap with `From<T> for T`.
impl<E: Error> From<E> for Reject {
    #[cold]
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// Leaves the transform with a rejection of the row, for a reason given as to [`format!`].
///
/// ```
/// # use rillgate_sdk::prelude::*;
/// fn checked(speed: f64) -> Result<f64, Reject> {
///     if speed < 0.0 {
///         reject!("speed {speed} is negative");
///     }
///     Ok(speed)
/// }
/// assert_eq!(checked(-1.0), Err(Reject::new("speed -1 is negative")));
/// ```
#[macro_export]
macro_rules! reject {
    ($($reason:tt)+) => {
        return ::core::result::Result::Err($crate::Reject::new(::std::format!($($reason)+)))
    };
}
