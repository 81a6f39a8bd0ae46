//! Each topic on a record as the feeds send it, and on those they should not send.

use journey::{Emergency, Gps, Snapshot, Vehicle, Weather};
use rillgate_sdk::Timestamp;
use rillgate_sdk::test::{Input, Test};

rillgate_sdk::transform!(match topic {
    "vehicle" => journey::vehicle,
    "gps" => journey::gps,
    "snapshot" => journey::snapshot,
    "weather" => journey::weather,
    "emergency" => journey::emergency,
});

const NOW: Timestamp = Timestamp(1_767_247_249_000_000);

/// One record with the columns that nearly all topics have.
fn record() -> Input {
    Input::columns()
        .column("id", [Some("14071449-8c1c-4103-9287-0136861104d5")])
        .column("deviceId", [Some("vehicle-001")])
        .column("timestamp", [Some(NOW)])
        .column("location", [Some("[51.5171,-0.1446]")])
}

fn test(topic: &str) -> Test {
    Test::new(PLUGIN).setting("topic", topic)
}

#[test]
fn vehicles() {
    let input = record()
        .column("speed", [Some(25.903)])
        .column("direction", [Some("North-East")])
        .column("make", [Some("Ford")])
        .column("model", [Some("Transit")])
        .column("year", [Some(2017_i64)])
        .column("fuelType", [Some("Diesel")]);
    let expected = Vehicle {
        id: "14071449-8c1c-4103-9287-0136861104d5",
        deviceId: Some("vehicle-001"),
        timestamp: NOW,
        latitude: Some(51.5171),
        longitude: Some(-0.1446),
        speed: Some(25.903),
        direction: Some("North-East"),
        make: Some("Ford"),
        model: Some("Transit"),
        year: Some(2017),
        fuelType: Some("Diesel"),
    };
    assert_eq!(test("vehicle").run(input).rows::<Vehicle>(), [expected]);
}

#[test]
fn positions_keep_their_vehicle_type() {
    let input = record()
        .column("speed", [Some(16.993)])
        .column("direction", [Some("North-East")])
        .column("vehicle_type", [Some("delivery")]);
    let tested = test("gps").run(input);
    assert_eq!(tested.rows::<Gps>()[0].vehicle_type, Some("delivery"));
}

#[test]
fn snapshots() {
    let input = record().column("cameraId", [Some("camera-001")]).column("snapshot", [Some("OMaRe0z0")]);
    let expected = Snapshot {
        id: "14071449-8c1c-4103-9287-0136861104d5",
        deviceId: Some("vehicle-001"),
        cameraId: Some("camera-001"),
        latitude: Some(51.5171),
        longitude: Some(-0.1446),
        timestamp: NOW,
        snapshot: Some("OMaRe0z0"),
    };
    assert_eq!(test("snapshot").run(input).rows::<Snapshot>(), [expected]);
}

#[test]
fn weather_is_a_word_and_the_rest_are_numbers() {
    let input = record()
        .column("temperature", [Some(-1.143)])
        .column("weatherCondition", [Some("Cloud")])
        .column("precipitation", [Some(8.218)])
        .column("windSpeed", [Some(5.476)])
        .column("humidity", [Some(8_i64)])
        .column("airQualityIndex", [Some(125.615)]);
    let expected = Weather {
        id: "14071449-8c1c-4103-9287-0136861104d5",
        deviceId: Some("vehicle-001"),
        latitude: Some(51.5171),
        longitude: Some(-0.1446),
        timestamp: NOW,
        temperature: Some(-1.143),
        weatherCondition: Some("Cloud"),
        precipitation: Some(8.218),
        windSpeed: Some(5.476),
        humidity: Some(8),
        airQualityIndex: Some(125.615),
    };
    assert_eq!(test("weather").run(input).rows::<Weather>(), [expected]);
}

/// Records of `emergency_data` that differ in what they are identified and located by.
fn emergencies<const N: usize>(rows: [(Option<&str>, Option<Timestamp>, Option<&str>); N]) -> Input {
    Input::columns()
        .column("id", rows.map(|row| row.0))
        .column("deviceId", [Some("vehicle-001"); N])
        .column("incidentId", [Some("19c96a4c"); N])
        .column("type", [Some("Fire"); N])
        .column("location", rows.map(|row| row.2))
        .column("timestamp", rows.map(|row| row.1))
        .column("status", [Some("Resolved"); N])
        .column("description", [Some("Smoke seen from the carriageway"); N])
}

#[test]
fn emergencies_without_a_place_stay_those_with_a_wrong_one_go() {
    let now = Some(NOW);
    let tested = test("emergency").run(emergencies([
        (Some("a"), now, Some("51.5,-0.1")),
        (Some("b"), now, None),
        (Some("c"), now, Some("London")),
        (Some("d"), now, Some("[151.5,-0.1]")),
        (Some("e"), None, None),
        (None, now, None),
        (Some(""), now, None),
    ]));
    let rows = tested.rows::<Emergency>();
    let places: Vec<_> = rows.iter().map(|row| (row.id, row.latitude, row.longitude, row.r#type)).collect();
    assert_eq!(places, [("a", Some(51.5), Some(-0.1), Some("Fire")), ("b", None, None, Some("Fire"))]);
    assert_eq!(
        tested.rejected(),
        [
            (2, "column `location` is no pair [latitude, longitude]"),
            (3, "column `location` is nowhere on earth: latitude is -90 to 90, longitude -180 to 180"),
            (4, "column `timestamp` is null"),
            (5, "column `id` is null"),
            (6, "column `id` is empty"),
        ]
    );
}
