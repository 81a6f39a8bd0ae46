//! The settings of a plugin, from text to a struct of the author's own, once per instance.

use std::fmt::Display;
use std::str::FromStr;

use crate::wit::Error;

/// A struct made of a pipeline's settings. `#[derive(FromSettings)]` takes one setting for each field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be made of settings",
    note = "derive it: `#[derive(FromSettings)] struct {Self} {{ ... }}`"
)]
pub trait FromSettings: Sized + 'static {
    /// Takes what it needs. An error keeps the pipeline from starting; make it by [`Settings::invalid`].
    fn from_settings(settings: &mut Settings) -> Result<Self, Error>;
}

/// A plugin that takes no settings.
impl FromSettings for () {
    fn from_settings(_settings: &mut Settings) -> Result<Self, Error> {
        Ok(())
    }
}

/// Settings not yet taken. What is left at the end is an error: a misspelt setting never goes unnoticed.
#[derive(Debug, Default)]
pub struct Settings {
    left: Vec<(String, String)>,
    asked: Vec<&'static str>,
}

impl Settings {
    /// Settings by name, as the host passes them.
    pub fn new(settings: Vec<(String, String)>) -> Self {
        Self { left: settings, asked: Vec::new() }
    }

    /// An error about the setting `name`, in words that don't repeat its value, which may be a secret.
    pub fn invalid(name: &str, reason: impl Display) -> Error {
        Error::InvalidSetting(format!("setting `{name}`: {reason}"))
    }

    /// The value of `name`; `None` if it isn't set.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<Option<T>, Error> {
        self.asked.push(name);
        let Some(at) = self.left.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.left.swap_remove(at);
        value.parse().map(Some).map_err(|reason| Self::invalid(name, reason))
    }

    /// The value of `name`; an error if it isn't set.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<T, Error> {
        self.optional(name)?.ok_or_else(|| Self::invalid(name, "is missing"))
    }

    /// Which one of `choices` the value of `name` is: its index.
    pub fn choice(&mut self, name: &'static str, choices: &[&str]) -> Result<usize, Error> {
        let value: String = self.required(name).map_err(|_| Self::not_in(name, choices))?;
        choices.iter().position(|choice| *choice == value).ok_or_else(|| Self::not_in(name, choices))
    }

    fn not_in(name: &str, choices: &[&str]) -> Error {
        Self::invalid(name, format_args!("must be one of {}", quoted(choices)))
    }

    /// An error if a setting is left that nobody asked for.
    pub fn finish(self) -> Result<(), Error> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let known = if self.asked.is_empty() { "none".to_owned() } else { quoted(&self.asked) };
        Err(Self::invalid(name, format_args!("is unknown; the plugin takes {known}")))
    }
}

/// `a`, `b`, `c`
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
