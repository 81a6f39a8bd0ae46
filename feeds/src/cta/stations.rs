//! The table of stations: 230 of them on three lines, but for one that is on none.
//!
//! Every line begins with its real stations in their order and goes on, further than in Chicago, with crossings.

use serde::Serialize;

/// A line. The one station that is on none of the three is on `Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    Red,
    Blue,
    Green,
    Unknown,
}

/// A station.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) stop_id: i32,
    pub(crate) station_id: i32,
    pub(crate) name: String,
    /// Where on its line it is, from 0.
    pub(crate) order: i32,
    pub(crate) line: Line,
    /// Whether the stop is the one towards the line's end, not its beginning.
    outward: bool,
}

/// A station as a row of the database that it comes from.
#[derive(Serialize)]
pub(crate) struct StationRow<'a> {
    stop_id: i32,
    direction_id: &'static str,
    stop_name: String,
    station_name: &'a str,
    station_descriptive_name: String,
    station_id: i32,
    order: i32,
    red: bool,
    blue: bool,
    green: bool,
}

impl Station {
    /// The row of it.
    pub(crate) fn row(&self) -> StationRow<'_> {
        let Station { name, line, .. } = self;
        let (line_name, outward, inward) = match line {
            Line::Red => ("Red Line", ("S", "95th"), ("N", "Howard")),
            Line::Blue => ("Blue Line", ("E", "Forest Pk"), ("W", "O'Hare")),
            Line::Green => ("Green Line", ("E", "63rd"), ("W", "Harlem")),
            Line::Unknown => ("no line", ("E", "Loop"), ("W", "O'Hare")),
        };
        let (direction_id, bound) = if self.outward { outward } else { inward };
        StationRow {
            stop_id: self.stop_id,
            direction_id,
            stop_name: format!("{name} ({bound}-bound)"),
            station_name: name,
            station_descriptive_name: format!("{name} ({line_name})"),
            station_id: self.station_id,
            order: self.order,
            red: *line == Line::Red,
            blue: *line == Line::Blue,
            green: *line == Line::Green,
        }
    }
}

const RED: [&str; 33] = [
    "Howard",
    "Jarvis",
    "Morse",
    "Loyola",
    "Granville",
    "Thorndale",
    "Bryn Mawr",
    "Berwyn",
    "Argyle",
    "Lawrence",
    "Wilson",
    "Sheridan",
    "Addison",
    "Belmont",
    "Fullerton",
    "North/Clybourn",
    "Clark/Division",
    "Chicago",
    "Grand",
    "Lake",
    "Monroe",
    "Jackson",
    "Harrison",
    "Roosevelt",
    "Cermak-Chinatown",
    "Sox-35th",
    "47th",
    "Garfield",
    "63rd",
    "69th",
    "79th",
    "87th",
    "95th/Dan Ryan",
];
const BLUE: [&str; 33] = [
    "O'Hare",
    "Rosemont",
    "Cumberland",
    "Harlem (O'Hare Branch)",
    "Jefferson Park",
    "Montrose",
    "Irving Park",
    "Addison",
    "Belmont",
    "Logan Square",
    "California",
    "Western",
    "Damen",
    "Division",
    "Chicago",
    "Grand",
    "Clark/Lake",
    "Washington",
    "Monroe",
    "Jackson",
    "LaSalle",
    "Clinton",
    "UIC-Halsted",
    "Racine",
    "Illinois Medical District",
    "Western (Forest Pk Branch)",
    "Kedzie-Homan",
    "Pulaski",
    "Cicero",
    "Austin",
    "Oak Park",
    "Harlem",
    "Forest Park",
];
const GREEN: [&str; 30] = [
    "Harlem/Lake",
    "Oak Park",
    "Ridgeland",
    "Austin",
    "Central",
    "Laramie",
    "Cicero",
    "Pulaski",
    "Conservatory-Central Park",
    "Kedzie",
    "California",
    "Ashland",
    "Morgan",
    "Clinton",
    "Clark/Lake",
    "State/Lake",
    "Washington/Wabash",
    "Adams/Wabash",
    "Roosevelt",
    "Cermak-McCormick Place",
    "35th-Bronzeville-IIT",
    "Indiana",
    "43rd",
    "47th",
    "51st",
    "Garfield",
    "King Drive",
    "Cottage Grove",
    "Halsted",
    "Ashland/63rd",
];
/// Which go east and west, and which north and south.
const STREETS: [&str; 12] = [
    "Fullerton",
    "Armitage",
    "Augusta",
    "Madison",
    "Cermak",
    "Archer",
    "Pershing",
    "Marquette",
    "71st",
    "83rd",
    "103rd",
    "111th",
];
const AVENUES: [&str; 12] = [
    "Narragansett",
    "Central",
    "Laramie",
    "Kostner",
    "Kedzie",
    "California",
    "Ashland",
    "Racine",
    "Wentworth",
    "Michigan",
    "Stony Island",
    "Torrence",
];

/// Three stations whose ids are known from the system itself: where they stand in the table, their line, and where on it.
const KNOWN: [(usize, Line, i32); 3] = [(0, Line::Blue, 29), (1, Line::Green, 0), (81, Line::Blue, 1)];
/// The station that stands on a line and of which the table has none.
const ON_NONE: (Line, i32) = (Line::Blue, 1);

/// All of them, in the order of the table.
pub(crate) fn all() -> Vec<Station> {
    let mut crossings = AVENUES.iter().flat_map(|avenue| STREETS.map(|street| format!("{street} & {avenue}")));
    let mut places: Vec<(Line, i32, String)> = Vec::new();
    for (line, real, length) in [(Line::Red, &RED[..], 77), (Line::Blue, &BLUE[..], 78), (Line::Green, &GREEN[..], 75)]
    {
        let names = real.iter().map(|name| (*name).to_owned()).chain(crossings.by_ref().take(length - real.len()));
        places.extend((0..).zip(names).map(|(order, name)| (line, order, name)));
    }
    for (index, line, order) in KNOWN {
        if let Some(found) = places.iter().position(|place| (place.0, place.1) == (line, order)) {
            let place = places.remove(found);
            places.insert(index, place);
        }
    }
    let station = |(number, (line, order, name)): (i32, (Line, i32, String))| Station {
        stop_id: 30_001 + number,
        station_id: 40_010 + 10 * number,
        name,
        order,
        line: if (line, order) == ON_NONE { Line::Unknown } else { line },
        outward: number % 2 == 0,
    };
    (0..).zip(places).map(station).collect()
}
