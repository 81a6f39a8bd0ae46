//! What can go wrong with a registry, by what is to be done about it.

/// Why a registry didn't do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The options make no sense.
    #[error("{0}")]
    Options(String),
    /// It doesn't answer, or not as a registry does: waiting may mend that.
    #[error("the schema registry at {url}: {reason}")]
    Away {
        /// Its URL, without user and password.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It refuses user and password.
    #[error("the schema registry at {url} refuses the user or the password (HTTP {status})")]
    Refused {
        /// Its URL, without user and password.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// It has no such schema or subject.
    #[error("the schema registry says: {0}")]
    NotFound(String),
    /// A schema can't take the place of the one before it.
    #[error("subject {subject}: the schema registry finds the schema incompatible with the ones before: {reason}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// What it says.
        reason: String,
    },
    /// A schema is none.
    #[error("subject {subject}: the schema can't be used: {reason}")]
    Invalid {
        /// The subject.
        subject: String,
        /// What it says.
        reason: String,
    },
}

impl RegistryError {
    /// Whether waiting may mend it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// The same, of that subject.
    pub(super) fn of_subject(self, of: &str) -> Self {
        match self {
            Self::Incompatible { reason, .. } => Self::Incompatible { subject: of.to_owned(), reason },
            Self::Invalid { reason, .. } => Self::Invalid { subject: of.to_owned(), reason },
            other => other,
        }
    }
}

/// Text from another server, on one line and cut short.
pub(super) fn plain(text: &str) -> String {
    const SHOWN: usize = 500;
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
