//! What a training run leaves to look at: a CSV log, a plot of the losses, picture grids.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use unclouded_core::raster::Raster;

use crate::failure::{Failure, Result};
use crate::font::{self, FAMILY};

/// First line of the log.
const HEADER: &str = "step,samples,train_loss,val_loss,learning_rate,seconds";

/// One line of the log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogRow {
    /// Optimiser steps done.
    pub step: u64,
    /// Tiles seen.
    pub samples: u64,
    /// Mean training loss since the line before, if there were steps since.
    pub train_loss: Option<f64>,
    /// Validation loss, on the lines where it was computed.
    pub val_loss: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Time spent in training, all sessions together (s).
    pub seconds: f64,
}

impl LogRow {
    fn to_line(self) -> String {
        let loss = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        format!(
            "{},{},{},{},{},{:.3}",
            self.step,
            self.samples,
            loss(self.train_loss),
            loss(self.val_loss),
            self.learning_rate,
            self.seconds
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let mut next = || fields.next();
        let loss = |field: &str| match field {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let row = Self {
            step: next()?.parse().ok()?,
            samples: next()?.parse().ok()?,
            train_loss: loss(next()?)?,
            val_loss: loss(next()?)?,
            learning_rate: next()?.parse().ok()?,
            seconds: next()?.parse().ok()?,
        };
        next().is_none().then_some(row)
    }
}

/// The lines of a log up to `step`. What is no line of a log is dropped, and so is the last line
/// without its end.
pub fn rows_until(log: &str, step: u64) -> Vec<LogRow> {
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let rows = whole.lines().skip(1).filter_map(LogRow::parse);
    rows.filter(|row| row.step <= step).collect()
}

/// The CSV log of a run; every line is on disk when [`TrainLog::push`] returns.
#[derive(Debug)]
pub struct TrainLog {
    path: PathBuf,
    file: File,
    rows: Vec<LogRow>,
}

impl TrainLog {
    /// A new log; an old one of that name is replaced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        Self::start(path, Vec::new())
    }

    /// Continues a log after `step`: lines of later steps, which a killed run may have
    /// written after its last checkpoint, and a half-written last line are dropped. A missing
    /// log is begun anew.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unwritable(path, error)),
        };
        Self::start(path, rows_until(&text, step))
    }

    fn start(path: &Path, rows: Vec<LogRow>) -> Result<Self> {
        let mut text = format!("{HEADER}\n");
        for row in &rows {
            text.push_str(&row.to_line());
            text.push('\n');
        }
        replace(path, text.as_bytes())?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(|error| unwritable(path, error))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            rows,
        })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn push(&mut self, row: LogRow) -> Result<()> {
        let line = format!("{}\n", row.to_line());
        self.file
            .write_all(line.as_bytes())
            .map_err(|error| unwritable(&self.path, error))?;
        self.rows.push(row);
        Ok(())
    }

    /// All lines of the run so far.
    pub fn rows(&self) -> &[LogRow] {
        &self.rows
    }
}

/// The recipe was sound, so that the exit code is 1.
fn unwritable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
        .hint("is the folder there, writable and not full?")
}

/// Writes a file beside its final name, then renames it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // Temporary files are private by default; a report is as readable as any new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| unwritable(path, error))
}

/// Plots training and validation loss over the steps as SVG, both axes labelled, the losses
/// on a logarithmic scale.
///
/// # Errors
/// The file cannot be written.
pub fn plot_losses(path: &Path, rows: &[LogRow]) -> Result<()> {
    let series = |of: fn(&LogRow) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = rows
            .iter()
            .filter_map(|row| Some((row.step as f64, of(row)?)));
        // A logarithmic axis has no room for zero, infinity and NaN.
        points
            .filter(|(_, loss)| loss.is_finite() && *loss > 0.0)
            .map(|(step, loss)| (step, loss.log10()))
            .collect()
    };
    let (train, validation) = (series(|row| row.train_loss), series(|row| row.val_loss));
    let mut svg = String::new();
    draw_losses(&mut svg, &train, &validation).map_err(|error| unwritable(path, error))?;
    replace(path, svg.as_bytes())
}

/// Draws points (step, log10 of loss). plotters' own logarithmic axis has ticks only at whole
/// powers and multiples, of which a converged run may show none.
fn draw_losses(
    svg: &mut String,
    train: &[(f64, f64)],
    validation: &[(f64, f64)],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    font::register();
    let area = SVGBackend::with_string(svg, (800, 450)).into_drawing_area();
    area.fill(&WHITE)?;
    let all = || train.iter().chain(validation);
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let low = all().map(|p| p.1).fold(f64::MAX, f64::min);
    let high = all().map(|p| p.1).fold(f64::MIN, f64::max);
    let (low, high) = if low > high {
        (-1.0, 0.0)
    } else {
        (low - 0.05, high + 0.05)
    };
    let mut chart = ChartBuilder::on(&area)
        .caption("Training", (FAMILY, 22))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..last, low..high)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc("loss")
        .y_labels(12)
        .x_label_formatter(&|step| format!("{step:.0}"))
        .y_label_formatter(&|loss| format!("{:.3}", 10f64.powf(*loss)))
        .light_line_style(RGBColor(235, 235, 235))
        .draw()?;
    for (name, points, color) in [
        ("training", train, RGBColor(90, 140, 200)),
        ("validation", validation, RGBColor(200, 80, 40)),
    ] {
        chart
            .draw_series(LineSeries::new(
                points.iter().copied(),
                color.stroke_width(2),
            ))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}

/// Side of a grid picture's gap between tiles (px).
const GAP_PX: usize = 2;

/// Writes a PNG of tiles, one row for each example; the usual columns are masked input, smooth
/// fill, one sample, mean of the samples, truth.
///
/// Every row is stretched by itself to the 1st and 99th percentile of its LAST column, so that
/// tiles of any units can be looked at. The first three bands are red, green and blue; tiles
/// with fewer are grey. Pixels that are not finite are magenta. `zoom` enlarges by whole
/// pixels.
///
/// # Errors
/// The grid is empty, or the file cannot be written.
pub fn write_grid(path: &Path, rows: &[Vec<Raster>], zoom: usize) -> Result<()> {
    let zoom = zoom.max(1);
    let side = |of: fn(&Raster) -> usize| rows.iter().flatten().map(of).max().unwrap_or(0) * zoom;
    let (height, width) = (side(|t| t.height), side(|t| t.width));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let total = |count: usize, size: usize| count * (size + GAP_PX) + GAP_PX;
    if height == 0 || width == 0 {
        return Err(unwritable(path, "a grid without tiles"));
    }
    let mut picture = image::RgbImage::new(
        total(columns, width) as u32,
        total(rows.len(), height) as u32,
    );
    for (r, row) in rows.iter().enumerate() {
        let range = row.last().map_or((0.0, 1.0), stretch_range);
        for (c, tile) in row.iter().enumerate() {
            let origin = (
                c * (width + GAP_PX) + GAP_PX,
                r * (height + GAP_PX) + GAP_PX,
            );
            for y in 0..tile.height * zoom {
                for x in 0..tile.width * zoom {
                    let color = pixel(tile, y / zoom, x / zoom, range);
                    picture.put_pixel((origin.0 + x) as u32, (origin.1 + y) as u32, color);
                }
            }
        }
    }
    let mut png = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut png, image::ImageFormat::Png)
        .map_err(|error| unwritable(path, error))?;
    replace(path, png.get_ref())
}

/// 1st and 99th percentile of the finite values of the first three bands.
pub(crate) fn stretch_range(tile: &Raster) -> (f32, f32) {
    let shown = tile.data.len().min(3 * tile.height * tile.width);
    let mut values: Vec<f32> = tile.data[..shown]
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    if values.is_empty() {
        return (0.0, 1.0);
    }
    values.sort_by(f32::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    let (low, high) = (at(0.01), at(0.99));
    if high > low {
        (low, high)
    } else {
        (low - 0.5, low + 0.5)
    }
}

/// Colour of a pixel of a tile that is stretched to a range.
pub(crate) fn pixel(
    tile: &Raster,
    row: usize,
    col: usize,
    (low, high): (f32, f32),
) -> image::Rgb<u8> {
    let value = |band: usize| {
        let band = if tile.bands >= 3 { band } else { 0 };
        tile.data[(band * tile.height + row) * tile.width + col]
    };
    let rgb = [value(0), value(1), value(2)];
    if rgb.iter().any(|v| !v.is_finite()) {
        return image::Rgb([255, 0, 255]);
    }
    // The cast saturates.
    image::Rgb(rgb.map(|v| ((v - low) / (high - low) * 255.0).round() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> LogRow {
        LogRow {
            step,
            samples: step * 16,
            train_loss: Some(1.0 / step as f64),
            val_loss: step.is_multiple_of(20).then_some(0.5),
            learning_rate: 3e-4,
            seconds: step as f64 * 0.5,
        }
    }

    #[test]
    fn a_resumed_log_equals_one_in_one_go() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.csv"), dir.path().join("two.csv"));
        let mut log = TrainLog::create(&one).unwrap();
        (1..=10).for_each(|i| log.push(row(i * 10)).unwrap());
        let mut killed = TrainLog::create(&two).unwrap();
        (1..=7).for_each(|i| killed.push(row(i * 10)).unwrap());
        drop(killed);
        // Killed in the middle of a line.
        OpenOptions::new()
            .append(true)
            .open(&two)
            .unwrap()
            .write_all(b"80,12")
            .unwrap();
        let mut resumed = TrainLog::resume(&two, 50).unwrap();
        assert_eq!(resumed.rows().len(), 5);
        (6..=10).for_each(|i| resumed.push(row(i * 10)).unwrap());
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        assert_eq!(resumed.rows(), log.rows());
        assert!(
            TrainLog::resume(&dir.path().join("none.csv"), 5)
                .unwrap()
                .rows()
                .is_empty()
        );
        assert!(TrainLog::create(&dir.path().join("no/folder.csv")).is_err());
    }

    #[test]
    fn a_number_cut_short_is_not_taken_for_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        std::fs::write(
            &path,
            format!("{HEADER}\n10,160,1,,0.1,5.000\n20,320,1,,0.1,1"),
        )
        .unwrap();
        assert_eq!(TrainLog::resume(&path, 100).unwrap().rows().len(), 1);
    }

    #[test]
    fn the_plot_has_labels_and_survives_odd_losses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("loss.svg");
        let mut rows: Vec<LogRow> = (1..100).map(|i| row(i * 10)).collect();
        rows[3].train_loss = Some(f64::NAN);
        rows[4].train_loss = Some(0.0);
        plot_losses(&path, &rows).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for text in ["step", "loss", "training", "validation"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.contains("<polyline") && !svg.contains("NaN"));
        plot_losses(&path, &[]).unwrap();
        plot_losses(&path, &rows[..1]).unwrap();
    }

    #[test]
    fn the_grid_has_the_size_and_colours_of_its_tiles() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grid.png");
        let tile = |value: f32| Raster {
            bands: 3,
            height: 4,
            width: 5,
            data: (0..60)
                .map(|i| if i % 20 == 0 { value } else { i as f32 * 10.0 })
                .collect(),
        };
        let rows = vec![vec![tile(f32::NAN), tile(0.0)], vec![tile(9e9), tile(-9e9)]];
        write_grid(&path, &rows, 2).unwrap();
        let png = image::open(&path).unwrap().to_rgb8();
        assert_eq!(png.dimensions(), (2 * 12 + 2, 2 * 10 + 2));
        assert_eq!(png.get_pixel(2, 2).0, [255, 0, 255]);
        assert_eq!(png.get_pixel(2, 12).0, [255, 255, 255]);
        assert_eq!(png.get_pixel(0, 0).0, [0, 0, 0]);
        assert!(write_grid(&path, &[], 1).is_err());
        let grey = Raster {
            bands: 1,
            height: 2,
            width: 2,
            data: vec![3.0; 4],
        };
        write_grid(&path, &[vec![grey]], 1).unwrap();
    }
}
