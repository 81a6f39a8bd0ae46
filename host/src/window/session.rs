//! Sessions: windows that grow as long as rows of their key follow one another, and join where a row closes the gap between two.

use std::collections::HashMap;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;

use super::event_time::Row;
use super::{Fold, Refused};
use crate::batch::RecordBatch;
use crate::state::{Columns, KeyBytes, KeyRows, Span, Table};

/// A session that the batch may touch.
struct Session<'a> {
    key: &'a [u8],
    span: Span,
    /// What it was before the batch: several where rows of the batch have joined them.
    slots: Vec<u32>,
    rows: Vec<u32>,
}

/// Folds rows into the sessions of their keys: all of them, or none.
pub(super) fn fold<F: Fold>(
    table: &mut Table,
    rows: &RecordBatch,
    keys: &KeyRows,
    taken: &[Row],
    gap_us: i64,
    lateness_us: i64,
    fold: &mut F,
) -> Result<(), Refused<F::Error>> {
    let keys = keys.all(taken.iter().map(|taken| taken.row));
    let sessions = place(table, &keys, taken, gap_us, lateness_us);
    if sessions.is_empty() {
        return Ok(());
    }
    let states = join(table, &sessions, fold)?;
    // Those with a state come first.
    let (known, fresh): (Vec<u32>, Vec<u32>) =
        (0..sessions.len() as u32).partition(|&at| !sessions[at as usize].slots.is_empty());
    let mut of_row: Vec<(u32, u32)> = Vec::with_capacity(taken.len());
    for (group, &at) in known.iter().chain(&fresh).enumerate() {
        of_row.extend(sessions[at as usize].rows.iter().map(|&row| (row, group as u32)));
    }
    of_row.sort_unstable();
    let (taken, groups): (Vec<u32>, Vec<u32>) = of_row.into_iter().unzip();
    let taken = take_record_batch(rows, &UInt32Array::from(taken)).map_err(|error| Refused::Row(error.to_string()))?;
    let states = states.gather(&known).map_err(|error| Refused::Row(error.to_string()))?;
    let (states, rejected) = fold.update(&taken, &groups, sessions.len() as u32, &states).map_err(Refused::Fold)?;
    if let Some(rejection) = rejected.into_iter().next() {
        return Err(Refused::Row(rejection.reason));
    }
    let slots: Vec<u32> = known.iter().chain(&fresh).map(|&at| keep(table, &sessions[at as usize])).collect();
    table.values.scatter(&slots, &states);
    slots.into_iter().for_each(|slot| table.changes.note(slot));
    Ok(())
}

/// Finds the session of each row, in their order. Only sessions with rows are returned.
fn place<'a>(table: &Table, keys: &'a KeyBytes, taken: &[Row], gap_us: i64, lateness_us: i64) -> Vec<Session<'a>> {
    let mut by_key: HashMap<&[u8], Vec<Session<'a>>> = HashMap::new();
    for (at, &Row { row, time_us, watermark, .. }) in taken.iter().enumerate() {
        let key = keys.get(at);
        let sessions = by_key.entry(key).or_insert_with(|| {
            let known = |slot| Session { key, span: table.keys.span(slot), slots: vec![slot], rows: Vec::new() };
            table.keys.find_all(key).map(known).collect()
        });
        let mut span = Span { start: time_us, end: time_us.saturating_add(gap_us) };
        let (mut slots, mut rows) = (Vec::new(), vec![row as u32]);
        sessions.retain_mut(|session| {
            let is_open = !watermark.is_past(session.span.end, lateness_us);
            // At most two: those on either side of the row, which don't reach one another.
            let joins = is_open && session.span.start < time_us.saturating_add(gap_us) && time_us < session.span.end;
            if joins {
                span = Span { start: span.start.min(session.span.start), end: span.end.max(session.span.end) };
                slots.append(&mut session.slots);
                rows.append(&mut session.rows);
            }
            !joins
        });
        sessions.push(Session { key, span, slots, rows });
    }
    let mut touched: Vec<Session<'a>> =
        by_key.into_values().flatten().filter(|session| !session.rows.is_empty()).collect();
    for session in &mut touched {
        session.slots.sort_unstable_by_key(|&slot| table.keys.span(slot).start);
    }
    // The order of a hash map is another each time.
    touched.sort_unstable_by_key(|session| session.rows.iter().min().copied());
    touched
}

/// The states of sessions by their index, those that were several joined to one, the earliest first.
fn join<F: Fold>(table: &Table, sessions: &[Session], fold: &mut F) -> Result<Columns, Refused<F::Error>> {
    let mut states = Columns::new(table.values.schema());
    for round in 0.. {
        let slot_of = |session: &Session| session.slots.get(round).copied();
        let (places, slots): (Vec<u32>, Vec<u32>) =
            sessions.iter().enumerate().filter_map(|(at, session)| Some((at as u32, slot_of(session)?))).unzip();
        if slots.is_empty() {
            break;
        }
        let odd = |error: arrow::error::ArrowError| Refused::Row(error.to_string());
        let next = table.values.gather(&slots).map_err(odd)?;
        let joined = match round {
            0 => next,
            _ => fold.merge(&states.gather(&places).map_err(odd)?, &next).map_err(Refused::Fold)?,
        };
        states.scatter(&places, &joined);
    }
    Ok(states)
}

/// Puts a session to the table; returns its slot.
fn keep(table: &mut Table, session: &Session) -> u32 {
    let Some((&first, others)) = session.slots.split_first() else {
        return table.keys.find_or_add(session.key, session.span).0;
    };
    for &slot in others {
        table.changes.note_gone(session.key, table.keys.span(slot).start);
        table.keys.remove(slot);
    }
    let before = table.keys.span(first);
    if before.start != session.span.start {
        table.changes.note_gone(session.key, before.start);
    }
    if before != session.span {
        table.keys.set_span(first, session.span);
    }
    first
}
