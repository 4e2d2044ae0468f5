//! When an image was taken: from its name, else from its metadata.

use std::path::Path;

use chrono::NaiveDate;
use gdal::{Dataset, Metadata};

/// Metadata items that say when the ground was seen, with their domains; processing times, which
/// TIFFTAG_DATETIME mostly is, say nothing.
const ITEMS: [(&str, &str); 6] = [
    ("ACQUISITIONDATETIME", "IMAGERY"),
    ("datetime", ""),
    ("DATE_ACQUIRED", ""),
    ("PRODUCT_START_TIME", ""),
    ("SENSING_TIME", ""),
    ("UNCLOUDED_DATE", ""),
];
/// Years that images of the ground are from.
const YEARS: std::ops::Range<i32> = 1957..2100;

/// The date of an image; none where neither its name nor its metadata tells.
pub fn of(path: &Path, dataset: &Dataset) -> Option<NaiveDate> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let items = ITEMS
        .iter()
        .filter_map(|(key, domain)| dataset.metadata_item(key, domain));
    in_text(&name).or_else(|| items.into_iter().find_map(|item| in_text(&item)))
}

/// The first date in a text: `2018-01-06`, `2018_01_06`, `2018.01.06` or `20180106`, no part of a
/// longer number.
pub fn in_text(text: &str) -> Option<NaiveDate> {
    let letters = text.as_bytes();
    (0..letters.len()).find_map(|start| {
        let before = start.checked_sub(1).map(|at| letters[at]);
        if before.is_some_and(|letter| letter.is_ascii_digit()) {
            return None;
        }
        let rest = &letters[start..];
        at_start(rest, true).or_else(|| at_start(rest, false))
    })
}

fn at_start(letters: &[u8], separated: bool) -> Option<NaiveDate> {
    let gap = usize::from(separated);
    let length = 8 + 2 * gap;
    let digits = |from: usize, count: usize| -> Option<u32> {
        let part = letters.get(from..from + count)?;
        let all = part.iter().all(u8::is_ascii_digit);
        all.then(|| part.iter().fold(0, |n, d| 10 * n + u32::from(d - b'0')))
    };
    if separated {
        let (first, second) = (letters.get(4)?, letters.get(7)?);
        if !b"-_.:/".contains(first) || first != second {
            return None;
        }
    }
    if letters.get(length).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let year = i32::try_from(digits(0, 4)?).ok()?;
    let (month, day) = (digits(4 + gap, 2)?, digits(6 + 2 * gap, 2)?);
    YEARS
        .contains(&year)
        .then(|| NaiveDate::from_ymd_opt(year, month, day))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_names_are_found() {
        for (name, date) in [
            ("S2_L1C_2018-01-06", "2018-01-06"),
            (
                "S2A_MSIL2A_20180723T100031_N0208_R122_T32TQM_20180723T121456",
                "2018-07-23",
            ),
            ("LC08_L2SP_191031_20200229_20200905_02_T1", "2020-02-29"),
            ("clear_2021_12_31_b", "2021-12-31"),
            ("2019:07:05 10:00:00", "2019-07-05"),
        ] {
            let found = in_text(name).map(|date| date.to_string());
            assert_eq!(found.as_deref(), Some(date), "{name}");
        }
        for name in [
            "tile_0042",
            "120180106",
            "20181306",
            "2018-02-30",
            "2018-0106",
            "",
        ] {
            assert_eq!(in_text(name), None, "{name}");
        }
    }
}
