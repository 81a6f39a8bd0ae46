//! Plugins for tests and benchmarks, put together from WebAssembly text.

/// A plugin from core code: see `shell.wat` for what it can import.
#[derive(Clone, Copy, Default)]
pub struct Guest<'a> {
    /// An aggregate; otherwise a transform.
    pub is_aggregate: bool,
    /// Imports of the component, lowered to core functions.
    pub imports: &'a str,
    /// How the core module gets them.
    pub with: &'a str,
    /// Fields of the core module.
    pub code: &'a str,
    /// What `cabi_realloc` does first.
    pub in_realloc: &'a str,
    /// What the functions that follow a call do first.
    pub in_reset: &'a str,
}

impl Guest<'_> {
    /// The component's binary.
    pub fn build(&self) -> Vec<u8> {
        wat::parse_str(self.text()).expect("the text of a test's plugin")
    }

    /// The component as text.
    pub fn text(&self) -> String {
        let (kind, parts) = match self.is_aggregate {
            true => ("aggregate", include_str!("aggregate.wat")),
            false => ("transform", include_str!("transform.wat")),
        };
        let part = |name: &str| {
            let begin = parts.find(&format!(";; {name}:\n")).expect("the part of a kind of plugin");
            let part = &parts[begin..];
            let end = part[1..].find("\n;; ").map_or(part.len(), |end| end + 2);
            part[..end].to_owned()
        };
        include_str!("shell.wat")
            .replace("@KIND@", kind)
            .replace("@LIFTED@", &part("lifted"))
            .replace("@EXPORTED@", &part("exported"))
            .replace("@GIVEN@", &part("given"))
            .replace("@IMPORTS@", self.imports)
            .replace("@WITH@", self.with)
            .replace("@CODE@", self.code)
            .replace("@IN-REALLOC@", self.in_realloc)
            .replace("@IN-RESET@", self.in_reset)
    }
}

/// The code of a transform that returns what it is given, with code of the test's own at three places.
pub fn identity(in_open: &str, in_apply: &str, after_apply: &str) -> String {
    include_str!("identity.wat")
        .replace("@IN-OPEN@, @IN-APPLY@ and @AFTER-APPLY@", "Placeholders")
        .replace("@IN-OPEN@", in_open)
        .replace("@IN-APPLY@", in_apply)
        .replace("@AFTER-APPLY@", after_apply)
}

/// An aggregate whose states are rows as they came, with code of the test's own at some places.
#[derive(Clone, Copy, Default)]
pub struct Keep<'a> {
    /// In `open`, after the answer was made.
    pub in_open: &'a str,
    /// In `update`, before the answer is made and after.
    pub in_update: &'a str,
    /// See `in_update`.
    pub after_update: &'a str,
    /// In `merge`, likewise.
    pub in_merge: &'a str,
    /// See `in_merge`.
    pub after_merge: &'a str,
    /// In `finish`, likewise.
    pub in_finish: &'a str,
    /// See `in_finish`.
    pub after_finish: &'a str,
}

impl Keep<'_> {
    /// Its code.
    pub fn code(&self) -> String {
        include_str!("keep.wat")
            .replace("@IN-OPEN@", self.in_open)
            .replace("@IN-UPDATE@", self.in_update)
            .replace("@AFTER-UPDATE@", self.after_update)
            .replace("@IN-MERGE@", self.in_merge)
            .replace("@AFTER-MERGE@", self.after_merge)
            .replace("@IN-FINISH@", self.in_finish)
            .replace("@AFTER-FINISH@", self.after_finish)
    }
}
