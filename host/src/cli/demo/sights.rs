//! What to look at in a demo, system by system.

use rillgate_feeds::System;

/// Where a system's results show.
pub(super) struct Sights {
    /// A query for DuckDB; `LAKE` stands for the folder.
    pub(super) query: &'static str,
    /// Topics that results go to.
    pub(super) topics: &'static [&'static str],
}

/// What there is to see of this system.
pub(super) fn of(system: System) -> Sights {
    let (query, topics): (_, &[&str]) = match system {
        System::Railway => {
            ("SELECT station, count(*) FROM 'LAKE/railway_station/train_arrivals/**/*.parquet' GROUP BY station;", &[])
        }
        System::SmartCity => (
            "SELECT weatherCondition, count(*) FROM 'LAKE/smart_city/weather_data/**/*.parquet' GROUP BY weatherCondition;",
            &[],
        ),
        System::SmartTravel => (
            "SELECT deviceId, max(latitude) FROM 'LAKE/smart_travel/vehicle_data/**/*.parquet' GROUP BY deviceId;",
            &[],
        ),
        System::Cta => (
            "SELECT line, train_status, count(*) FROM 'LAKE/cta/arrivals/**/*.parquet' GROUP BY line, train_status;",
            &["TURNSTILES_SUMMARY", "org.chicago.cta.stations.transformed"],
        ),
        System::Mta => {
            ("SELECT STATION, sum(ENTRIES), sum(EXITS) FROM 'LAKE/mta/turnstiles/**/*.csv.gz' GROUP BY STATION;", &[])
        }
    };
    Sights { query, topics }
}
