//! What was compared with a reference, and how far apart the two are: collected by a test,
//! printed as the table of core/README.md, and only then judged.

use super::max_abs_diff;

/// A table of comparisons.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    reference: &'static str,
    values: usize,
    largest: f64,
    tolerance: f64,
}

impl Table {
    /// Adds a comparison of whole arrays.
    pub fn compare(
        &mut self,
        what: impl Into<String>,
        reference: &'static str,
        got: &[f64],
        expected: &[f64],
        tolerance: f64,
    ) {
        let what = what.into();
        assert_eq!(got.len(), expected.len(), "{what}: number of values");
        let largest = max_abs_diff(got, expected);
        self.rows.push(Row {
            what,
            reference,
            values: got.len(),
            largest,
            tolerance,
        });
    }

    /// Prints the table; rows of one name and reference become one, with their largest difference.
    ///
    /// # Panics
    /// Where a difference is not below its tolerance, after all of them have been printed.
    pub fn finish(self) {
        println!("| what | reference | values | largest difference | tolerance |");
        println!("| --- | --- | ---: | ---: | ---: |");
        let mut rest: Vec<&Row> = self.rows.iter().collect();
        while let Some(first) = rest.first().copied() {
            let same = |row: &&Row| row.what == first.what && row.reference == first.reference;
            let (group, others): (Vec<&Row>, Vec<&Row>) = rest.into_iter().partition(same);
            let values: usize = group.iter().map(|row| row.values).sum();
            let largest = group.iter().map(|row| row.largest).fold(0.0, f64::max);
            let (what, reference, tolerance) = (&first.what, first.reference, first.tolerance);
            println!("| {what} | {reference} | {values} | {largest:.1e} | {tolerance:.0e} |");
            rest = others;
        }
        let far: Vec<String> = self
            .rows
            .iter()
            // Written so that a NaN is far.
            .filter(|row| {
                !matches!(
                    row.largest.partial_cmp(&row.tolerance),
                    Some(std::cmp::Ordering::Less)
                )
            })
            .map(|row| format!("{}: {:e}", row.what, row.largest))
            .collect();
        assert!(
            far.is_empty(),
            "too far from the reference: {}",
            far.join(", ")
        );
    }
}
