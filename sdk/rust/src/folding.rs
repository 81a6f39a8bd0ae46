//! From an aggregate to a component: [`aggregate!`](crate::aggregate!) and what stands behind it.

use std::cell::RefCell;

use crate::aggregate::{Aggregate, Migrate, Rows};
use crate::outputs::TableWriter;
use crate::reject::Reject;
use crate::row::{FromRow, Places, ToRow, schema};
use crate::settings::Settings;
use crate::wit::{Batch, Error, Field, Plan, Rejection, Updated};

/// Given the columns of rows and of groups, and settings to take from.
#[doc(hidden)]
pub type Open = fn(&[Field], &[Field], &mut Settings) -> Result<OpenedAggregate, Error>;

/// An aggregate as `aggregate!` defines it. To run it natively, see [`test`](crate::test).
#[derive(Clone, Copy)]
pub struct AggregatePlugin {
    #[doc(hidden)]
    pub open: Open,
}

/// An aggregate that has been told its input, its groups and its settings.
pub struct OpenedAggregate {
    plan: Plan,
    fold: Box<dyn Fold>,
}

impl AggregatePlugin {
    /// What the host's `open` does: parses the settings, finds the columns, says what a state is and what will come out.
    pub fn open(
        &self,
        input: &[Field],
        groups: &[Field],
        settings: Vec<(String, String)>,
    ) -> Result<OpenedAggregate, Error> {
        let mut settings = Settings::new(settings);
        let opened = (self.open)(input, groups, &mut settings)?;
        settings.finish()?;
        Ok(opened)
    }
}

impl OpenedAggregate {
    /// The columns of states and of what will come out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the host's `update` does.
    pub fn update(
        &mut self,
        rows: &Batch,
        group_of_row: &[u32],
        group_count: u32,
        states: &Batch,
    ) -> Result<Updated, Error> {
        self.fold.update(rows, group_of_row, group_count as usize, states)
    }

    /// What the host's `merge` does.
    pub fn merge(&mut self, left: &Batch, right: &Batch) -> Result<Batch, Error> {
        self.fold.merge(left, right)
    }

    /// What the host's `finish` does.
    pub fn finish(&mut self, groups: &Batch, states: &Batch) -> Result<Batch, Error> {
        self.fold.finish(groups, states)
    }

    /// What the host's `migrate` does: an error for an aggregate that doesn't.
    pub fn migrate(&mut self, older: &[Field], states: &Batch) -> Result<Batch, Error> {
        self.fold.migrate(older, states)
    }
}

/// An aggregate over columns, whichever it is.
trait Fold {
    fn update(&mut self, rows: &Batch, group_of_row: &[u32], groups: usize, states: &Batch) -> Result<Updated, Error>;
    fn merge(&mut self, left: &Batch, right: &Batch) -> Result<Batch, Error>;
    fn finish(&mut self, groups: &Batch, states: &Batch) -> Result<Batch, Error>;
    fn migrate(&mut self, older: &[Field], states: &Batch) -> Result<Batch, Error>;
}

/// Makes states of older ones, of these columns.
type MigrateAll<A> = fn(&A, &[Field], &Batch) -> Result<Vec<<A as Aggregate>::State>, Error>;

/// An aggregate, and where it finds its columns.
struct Folding<A: Aggregate> {
    aggregate: A,
    row_places: Places,
    group_places: Places,
    state_places: Places,
    migrate: Option<MigrateAll<A>>,
    /// States as they are read, empty between calls; and as they are written.
    states: Vec<A::State>,
    writer: TableWriter<<A::State as ToRow>::Builders>,
}

/// Opens an aggregate: settings are parsed, columns found.
#[doc(hidden)]
pub fn open<A: Aggregate>(
    input: &[Field],
    groups: &[Field],
    settings: &mut Settings,
) -> Result<OpenedAggregate, Error> {
    open_with::<A>(input, groups, settings, None)
}

/// The same of one that migrates states.
#[doc(hidden)]
pub fn open_migrating<A: Migrate>(
    input: &[Field],
    groups: &[Field],
    settings: &mut Settings,
) -> Result<OpenedAggregate, Error> {
    open_with::<A>(input, groups, settings, Some(migrate_all::<A>))
}

fn open_with<A: Aggregate>(
    input: &[Field],
    groups: &[Field],
    settings: &mut Settings,
    migrate: Option<MigrateAll<A>>,
) -> Result<OpenedAggregate, Error> {
    let aggregate = A::from_settings(settings)?;
    let (row_places, mut problems) = Places::look(<A::Row<'static> as FromRow>::COLUMNS, input);
    let (group_places, in_groups) = Places::look_in_groups(<A::Group<'static> as FromRow>::COLUMNS, groups);
    problems.extend(in_groups);
    if !problems.is_empty() {
        return Err(Error::UnsupportedSchema(problems.join("; ")));
    }
    let state = schema(<A::State as ToRow>::COLUMNS);
    let state_places = Places::find(<A::State as FromRow>::COLUMNS, &state)?;
    let output = schema(<<A::Output<'static> as Rows>::Row as ToRow>::COLUMNS);
    let writer = TableWriter::new::<A::State>();
    let fold = Folding { aggregate, row_places, group_places, state_places, migrate, states: Vec::new(), writer };
    Ok(OpenedAggregate { plan: Plan { state, output }, fold: Box::new(fold) })
}

impl<A: Aggregate> Folding<A> {
    /// The states in columns.
    fn written(&mut self) -> Batch {
        self.writer.reserve::<A::State>(self.states.len());
        self.states.drain(..).for_each(|state| self.writer.push(state));
        self.writer.finish::<A::State>()
    }
}

impl<A: Aggregate> Fold for Folding<A> {
    fn update(&mut self, rows: &Batch, group_of_row: &[u32], groups: usize, states: &Batch) -> Result<Updated, Error> {
        if group_of_row.len() != rows.rows as usize {
            return Err(Error::Other(format!("{} rows belong to {} groups", rows.rows, group_of_row.len())));
        }
        let Self { aggregate, row_places, state_places, states: folded, .. } = self;
        let state_readers = A::State::readers(states, state_places)?;
        let row_readers = <A::Row<'_> as FromRow>::readers(rows, row_places)?;
        folded.clear();
        folded.reserve(groups);
        for group in 0..states.rows as usize {
            folded.push(A::State::read(&state_readers, group).map_err(bad_state)?);
        }
        folded.resize_with(groups, A::State::default);
        let mut rejected = Vec::new();
        for (row, group) in group_of_row.iter().enumerate() {
            let state = &mut folded[*group as usize];
            let updated = <A::Row<'_> as FromRow>::read(&row_readers, row).and_then(|row| aggregate.update(state, row));
            if let Err(reject) = updated {
                rejected.push(Rejection { row: row as u32, reason: reject.into_reason() });
            }
        }
        Ok(Updated { states: self.written(), rejected })
    }

    fn merge(&mut self, left: &Batch, right: &Batch) -> Result<Batch, Error> {
        let groups = left.rows as usize;
        let left = A::State::readers(left, &self.state_places)?;
        let right = A::State::readers(right, &self.state_places)?;
        self.states.clear();
        self.states.reserve(groups);
        for group in 0..groups {
            let mut state = A::State::read(&left, group).map_err(bad_state)?;
            self.aggregate.merge(&mut state, A::State::read(&right, group).map_err(bad_state)?);
            self.states.push(state);
        }
        Ok(self.written())
    }

    fn finish(&mut self, groups: &Batch, states: &Batch) -> Result<Batch, Error> {
        finish(&self.aggregate, groups, &self.group_places, states, &self.state_places)
    }

    fn migrate(&mut self, older: &[Field], states: &Batch) -> Result<Batch, Error> {
        let Some(migrate) = self.migrate else {
            return Err(Error::Other("this aggregate does not migrate states".to_owned()));
        };
        self.states = migrate(&self.aggregate, older, states)?;
        Ok(self.written())
    }
}

/// A column that nobody reads would be lost, so each must have a field.
fn migrate_all<A: Migrate>(aggregate: &A, older: &[Field], states: &Batch) -> Result<Vec<A::State>, Error> {
    let columns = <A::Older<'_> as FromRow>::COLUMNS;
    let (places, mut problems) = Places::look_in_older(columns, older);
    let unread = older.iter().filter(|field| !columns.iter().any(|column| column.name == field.name));
    problems
        .extend(unread.map(|field| format!("older states have a column `{}`, and `Older` no such field", field.name)));
    if !problems.is_empty() {
        return Err(Error::UnsupportedSchema(problems.join("; ")));
    }
    let readers = <A::Older<'_> as FromRow>::readers(states, &places)?;
    let migrate = |row| {
        let older = <A::Older<'_> as FromRow>::read(&readers, row).and_then(|older| aggregate.migrate(older));
        older.map_err(|reject| Error::Other(format!("an older state: {}", reject.into_reason())))
    };
    (0..states.rows as usize).map(migrate).collect()
}

/// What comes out borrows from the groups: the columns in the making have a type that can be named only here.
fn finish<'a, A: Aggregate>(
    aggregate: &'a A,
    groups: &'a Batch,
    group_places: &Places,
    states: &Batch,
    state_places: &Places,
) -> Result<Batch, Error> {
    type RowOf<'a, A> = <<A as Aggregate>::Output<'a> as Rows>::Row;
    let group_readers = <A::Group<'a> as FromRow<'a>>::readers(groups, group_places)?;
    let state_readers = A::State::readers(states, state_places)?;
    let mut writer = TableWriter::new::<RowOf<'a, A>>();
    writer.reserve::<RowOf<'a, A>>(groups.rows as usize);
    for group in 0..groups.rows as usize {
        let state = A::State::read(&state_readers, group).map_err(bad_state)?;
        let group = <A::Group<'a> as FromRow<'a>>::read(&group_readers, group)
            .map_err(|reject| Error::Other(format!("a group: {reject}")))?;
        aggregate.finish(group, state).each(|row| writer.push(row));
    }
    Ok(writer.finish::<RowOf<'a, A>>())
}

/// States are what this plugin returned: the host lets none through that it did not announce.
fn bad_state(reject: Reject) -> Error {
    Error::Other(format!("a state: {reject}"))
}

thread_local! {
    /// The one opened aggregate of this component instance.
    static INSTANCE: RefCell<Option<OpenedAggregate>> = const { RefCell::new(None) };
}

/// The component's `open`.
#[doc(hidden)]
pub fn open_instance(
    plugin: &AggregatePlugin,
    input: &[Field],
    groups: &[Field],
    settings: Vec<(String, String)>,
) -> Result<Plan, Error> {
    let opened = plugin.open(input, groups, settings)?;
    let plan = opened.plan.clone();
    INSTANCE.set(Some(opened));
    Ok(plan)
}

/// The component's other functions.
#[doc(hidden)]
pub fn with_instance<R>(call: impl FnOnce(&mut OpenedAggregate) -> Result<R, Error>) -> Result<R, Error> {
    INSTANCE.with_borrow_mut(|instance| match instance {
        Some(opened) => call(opened),
        None => Err(Error::Other("called before `open`".to_owned())),
    })
}

/// Makes a plugin of an aggregate: defines `PLUGIN` for tests and exports it from the component.
///
/// ```text
/// rillgate_sdk::aggregate!(Totals);                   // a type that implements `Aggregate`
/// rillgate_sdk::aggregate!(match figure {             // one plugin for several figures, chosen by the setting `figure`
///     "traffic" => Traffic,
///     "faults" => Faults,
/// });
/// rillgate_sdk::aggregate!(migrating Totals);         // it takes over states of the version before: implements `Migrate`, too
/// ```
/// With `migrating match` all of them do.
#[macro_export]
macro_rules! aggregate {
    (migrating $($aggregate:tt)+) => {
        $crate::aggregate!(@ ($crate::__open_aggregate!(open_migrating, $($aggregate)+)));

        #[cfg(target_family = "wasm")]
        const _: () = {
            use ::core::result::Result;
            use ::std::vec::Vec;
            use $crate::wit::{Batch, Error, Field};

            struct Migration;
            impl $crate::migration_bindings::exports::rillgate::plugin::state_migration::Guest for Migration {
                fn migrate(older: Vec<Field>, states: Batch) -> Result<Batch, Error> {
                    $crate::folding::with_instance(|opened| opened.migrate(&older, &states))
                }
            }
            $crate::migration_bindings::export_migration!(Migration with_types_in $crate::migration_bindings);
        };
    };
    (@ ($open:expr)) => {
        /// This plugin, to be run natively by `rillgate_sdk::test`.
        pub const PLUGIN: $crate::AggregatePlugin =
            $crate::AggregatePlugin { open: $open };

        #[cfg(target_family = "wasm")]
        const _: () = {
            use ::core::result::Result;
            use ::std::{string::String, vec::Vec};
            use $crate::folding::with_instance;
            use $crate::wit::{Batch, Error, Field, Plan, Updated};

            struct Component;
            impl $crate::aggregate_bindings::exports::rillgate::plugin::aggregate::Guest for Component {
                fn open(
                    input: Vec<Field>,
                    groups: Vec<Field>,
                    settings: Vec<(String, String)>,
                ) -> Result<Plan, Error> {
                    $crate::folding::open_instance(&PLUGIN, &input, &groups, settings)
                }
                fn update(
                    rows: Batch,
                    group_of_row: Vec<u32>,
                    group_count: u32,
                    states: Batch,
                ) -> Result<Updated, Error> {
                    with_instance(|opened| opened.update(&rows, &group_of_row, group_count, &states))
                }
                fn merge(left: Batch, right: Batch) -> Result<Batch, Error> {
                    with_instance(|opened| opened.merge(&left, &right))
                }
                fn finish(groups: Batch, states: Batch) -> Result<Batch, Error> {
                    with_instance(|opened| opened.finish(&groups, &states))
                }
            }
            $crate::aggregate_bindings::export_aggregate!(Component with_types_in $crate::aggregate_bindings);
        };
    };
    ($($aggregate:tt)+) => {
        $crate::aggregate!(@ ($crate::__open_aggregate!(open, $($aggregate)+)));
    };
}

/// The function that opens an aggregate.
#[doc(hidden)]
#[macro_export]
macro_rules! __open_aggregate {
    ($open:ident, match $setting:ident { $($name:literal => $aggregate:ty),+ $(,)? }) => {
        |input, groups, settings| {
            let choices: &[(&str, $crate::folding::Open)] = &[$(($name, $crate::folding::$open::<$aggregate>)),+];
            let names: ::std::vec::Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            choices[settings.choice(::core::stringify!($setting), &names)?].1(input, groups, settings)
        }
    };
    ($open:ident, $aggregate:ty) => {
        $crate::folding::$open::<$aggregate>
    };
}
