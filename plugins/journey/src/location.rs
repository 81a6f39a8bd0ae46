//! Where something is: a pair of coordinates in a text column.

use rillgate_sdk::prelude::*;

/// Latitude and longitude in degrees, out of `[51.5, -0.13]` or `51.5, -0.13`; neither where there is no text.
pub fn parse(text: Option<&str>) -> Result<(Option<f64>, Option<f64>), Reject> {
    let Some(text) = text else { return Ok((None, None)) };
    let bare = text.trim();
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    let pair = bare.split_once(',').and_then(|(latitude, longitude)| Some((degrees(latitude)?, degrees(longitude)?)));
    match pair {
        Some((latitude, longitude)) if latitude.abs() <= 90.0 && longitude.abs() <= 180.0 => {
            Ok((Some(latitude), Some(longitude)))
        }
        Some(_) => {
            Err(Reject::new("column `location` is nowhere on earth: latitude is -90 to 90, longitude -180 to 180"))
        }
        None => Err(Reject::new("column `location` is no pair [latitude, longitude]")),
    }
}

/// A finite number: `NaN` and `inf` are numbers to Rust and no places on earth.
fn degrees(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|degrees: &f64| degrees.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let london = Ok((Some(51.5074), Some(-0.1278)));
        for text in ["[51.5074,-0.1278]", "[51.5074, -0.1278]", " 51.5074 , -0.1278 ", "51.5074,-0.1278"] {
            assert_eq!(parse(Some(text)), london, "{text}");
        }
        assert_eq!(parse(None), Ok((None, None)));
        assert_eq!(parse(Some("[90,-180]")), Ok((Some(90.0), Some(-180.0))));
    }

    #[test]
    fn what_is_no_place_is_rejected() {
        for text in [
            "",
            "null",
            "[]",
            "51.5",
            "[51.5]",
            "[51.5,]",
            "[1,2,3]",
            "[NaN,0]",
            "[0,inf]",
            "{\"lat\":1}",
            "[51.5,-0.1",
        ] {
            assert!(parse(Some(text)).is_err_and(|reject| reject.reason().contains("no pair")), "{text}");
        }
        for text in ["[90.1,0]", "[-91,0]", "[0,180.5]"] {
            assert!(parse(Some(text)).is_err_and(|reject| reject.reason().contains("nowhere")), "{text}");
        }
    }
}
