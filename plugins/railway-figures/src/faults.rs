//! Incidents by type and equipment failures by kind.

use rillgate_sdk::prelude::*;

#[derive(Row, Clone, Copy)]
pub struct Record<'a> {
    #[row(name = "type", optional)]
    incident: Option<&'a str>,
    #[row(optional)]
    equipment: Option<&'a str>,
}

#[derive(Row, Clone, Copy)]
pub struct Kind<'a> {
    station: Option<&'a str>,
    #[row(name = "type", optional)]
    incident: Option<&'a str>,
    #[row(optional)]
    equipment: Option<&'a str>,
    window_start: Timestamp,
}

#[derive(Row, Default)]
pub struct Count {
    count: i64,
}

#[derive(Row, Debug, PartialEq)]
pub struct Fault<'a> {
    station: Option<&'a str>,
    hour: Timestamp,
    /// `incident` or `equipment failure`
    fault: &'a str,
    /// What type of incident, or which equipment; null where the key doesn't tell.
    kind: Option<&'a str>,
    count: i64,
}

#[derive(FromSettings)]
pub struct Faults;

impl Aggregate for Faults {
    type Row<'a> = Record<'a>;
    type Group<'a> = Kind<'a>;
    type State = Count;
    type Output<'a> = Option<Fault<'a>>;

    fn update(&self, count: &mut Count, record: Record<'_>) -> Result<(), Reject> {
        match (record.incident, record.equipment) {
            (None, None) => reject!("neither `type` nor `equipment` has a value"),
            (Some(_), Some(_)) => reject!("both `type` and `equipment` have a value: is it an incident or a failure?"),
            _ => count.count += 1,
        }
        Ok(())
    }

    fn merge(&self, count: &mut Count, later: Count) {
        count.count += later.count;
    }

    /// Nothing for a group of which all rows were rejected.
    fn finish<'a>(&self, group: Kind<'a>, count: Count) -> Option<Fault<'a>> {
        let fault = if group.equipment.is_some() { "equipment failure" } else { "incident" };
        let kind = group.equipment.or(group.incident);
        let fault = Fault { station: group.station, hour: group.window_start, fault, kind, count: count.count };
        (fault.count > 0).then_some(fault)
    }
}

#[cfg(test)]
mod tests {
    use rillgate_sdk::test::{AggregateTest, Grouped, Input};

    use super::*;
    use crate::PLUGIN;

    fn group<'a>(record: Record<'a>) -> Kind<'a> {
        let Record { incident, equipment } = record;
        Kind { station: Some("Station A"), incident, equipment, window_start: Timestamp(0) }
    }

    #[test]
    fn incidents_and_failures_are_counted_by_what_they_are() {
        let incident = |incident| Record { incident: Some(incident), equipment: None };
        let failure = |equipment| Record { incident: None, equipment: Some(equipment) };
        let rows = [incident("Technique"), failure("escalator"), incident("Technique"), incident("suspect package")];
        let folded = AggregateTest::new(PLUGIN)
            .setting("figures", "faults")
            .run(Grouped::rows(rows.map(|record| (group(record), record))));
        let fault = |fault, kind, count| {
            let hour = Timestamp(0);
            Fault { station: Some("Station A"), hour, fault, kind: Some(kind), count }
        };
        let expected = [
            fault("incident", "Technique", 2),
            fault("equipment failure", "escalator", 1),
            fault("incident", "suspect package", 1),
        ];
        assert_eq!(folded.rows::<Fault>(), expected);
    }

    #[test]
    fn records_that_are_neither_or_both_are_rejected_and_make_no_row() {
        let rows = [
            Record { incident: None, equipment: None },
            Record { incident: Some("Technique"), equipment: Some("escalator") },
        ];
        let folded = AggregateTest::new(PLUGIN)
            .setting("figures", "faults")
            .run(Grouped::rows(rows.map(|record| (group(record), record))));
        assert_eq!(folded.rows::<Fault>(), []);
        assert_eq!(folded.rejected().len(), 2);
    }

    #[test]
    fn a_pipeline_of_one_topic_has_one_of_the_columns() {
        let rows = Input::columns().column("equipment", [Some("escalator")]);
        let groups = Input::columns()
            .column("station", [Some("Station A")])
            .column("equipment", [Some("escalator")])
            .column("window_start", [Timestamp(0)]);
        let plan = AggregateTest::new(PLUGIN).setting("figures", "faults").open(&rows, &groups).unwrap();
        assert_eq!(plan.output.len(), 5);
    }
}
