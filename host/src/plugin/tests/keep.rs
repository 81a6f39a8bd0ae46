//! The code of aggregates for tests and benchmarks.

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
    /// In `migrate`, likewise.
    pub in_migrate: &'a str,
    /// See `in_migrate`.
    pub after_migrate: &'a str,
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
            .replace("@IN-MIGRATE@", self.in_migrate)
            .replace("@AFTER-MIGRATE@", self.after_migrate)
    }
}
