//! A transform written as a function over rows, run on batches.

use std::any::Any;

use crate::outputs::{Answer, Outputs};
use crate::plugin::Opened;
use crate::row::{FromRow, Places};
use crate::settings::{FromSettings, Settings};
use crate::wit::{Batch, Error, Field, Output, Rejection};

/// A function that is a transform: `fn(Row) -> Answer` or `fn(Row, &Settings) -> Answer`.
///
/// `Shape` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no transform",
    note = "a transform is a function `fn(Row) -> Answer` or `fn(Row, &Settings) -> Answer`",
    note = "`Row` is a struct that derives `Row`, `Settings` one that derives `FromSettings`",
    note = "`Answer` is a row, an `Option`, `Vec` or `Many` of rows, a bool, or a `Result` of these with `Reject`"
)]
pub trait Function<'a, Shape>: Copy {
    /// What it takes.
    type Row: FromRow<'a>;
    /// What it is set by; `()` if it takes no settings.
    type Settings: FromSettings;
    /// What it returns.
    type Answer: Answer;
    /// Calls it for one row.
    fn call(self, row: Self::Row, settings: &'a Self::Settings) -> Self::Answer;
}

impl<'a, F, R, A> Function<'a, fn(R) -> A> for F
where
    F: Fn(R) -> A + Copy,
    R: FromRow<'a>,
    A: Answer,
{
    type Row = R;
    type Settings = ();
    type Answer = A;
    #[inline]
    fn call(self, row: R, (): &'a ()) -> A {
        self(row)
    }
}

impl<'a, F, R, S, A> Function<'a, fn(R, S) -> A> for F
where
    F: Fn(R, &'a S) -> A + Copy,
    R: FromRow<'a>,
    S: FromSettings,
    A: Answer,
{
    type Row = R;
    type Settings = S;
    type Answer = A;
    #[inline]
    fn call(self, row: R, settings: &'a S) -> A {
        self(row, settings)
    }
}

/// What an opened function keeps between batches.
struct State<S, W> {
    places: Places,
    settings: S,
    writer: W,
}

type WriterOf<A> = <<A as Answer>::Outputs as Outputs>::Writer;

/// Opens a function: settings are parsed, columns found. `apply` is [`rows`] and [`finish`] of the same function.
#[doc(hidden)]
pub fn open<F, Shape>(
    _function: F,
    input: &[Field],
    settings: &mut Settings,
    apply: fn(&mut dyn Any, Batch) -> Result<Output, Error>,
) -> Result<Opened, Error>
where
    F: Function<'static, Shape>,
{
    let settings = F::Settings::from_settings(settings)?;
    let places = Places::find(F::Row::COLUMNS, input)?;
    let writer = <F::Answer as Answer>::Outputs::writer();
    let tables = <F::Answer as Answer>::Outputs::tables(input);
    Ok(Opened { state: Box::new(State { places, settings, writer }), tables, apply })
}

/// Calls a function for each row of a batch and collects what comes out in the state's writer.
#[doc(hidden)]
#[inline]
pub fn rows<'a, F, Shape>(function: F, state: &'a mut dyn Any, input: &'a Batch) -> Result<Vec<Rejection>, Error>
where
    F: Function<'a, Shape>,
{
    let State { places, settings, writer } = state_of::<F::Settings, WriterOf<F::Answer>>(state)?;
    let settings = &*settings;
    let rows = input.rows as usize;
    let readers = F::Row::readers(input, places)?;
    <F::Answer as Answer>::Outputs::reserve(writer, rows);
    let mut rejected = Vec::new();
    for row in 0..rows {
        let answer = F::Row::read(&readers, row).and_then(|input| function.call(input, settings).write(row, writer));
        if let Err(reject) = answer {
            rejected.push(Rejection { row: row as u32, reason: reject.into_reason() });
        }
    }
    Ok(rejected)
}

/// The output for a batch whose rows went through [`rows`].
#[doc(hidden)]
pub fn finish<F, Shape>(
    _function: F,
    state: &mut dyn Any,
    input: Batch,
    rejected: Vec<Rejection>,
) -> Result<Output, Error>
where
    F: Function<'static, Shape>,
{
    let state = state_of::<F::Settings, WriterOf<F::Answer>>(state)?;
    let batches = <F::Answer as Answer>::Outputs::finish(&mut state.writer, input);
    Ok(Output { batches, rejected })
}

fn state_of<S: 'static, W: 'static>(state: &mut dyn Any) -> Result<&mut State<S, W>, Error> {
    state.downcast_mut().ok_or_else(|| Error::Other("the instance was opened for another transform".to_owned()))
}
